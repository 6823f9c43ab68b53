import { join } from 'node:path/posix';
import { isName } from '../../formats/store/base/names.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Engine } from '../base/engine.ts';

/*
 * Files in a store that no release up to this one has put there: Holdfast does not use them, but a user may believe
 * that they are protected, or may have renamed files that are needed.
 */
const FILES = new RegExp(
  [
    String.raw`^holdfast-store(\.copy)?\.json$`,
    String.raw`^(service\.)?lock$`,
    String.raw`^(alarms|box|clock|growth|last-pack|lockdown|removed-sets|scrub|sweep-mark|tokens)\.json$`,
    String.raw`^audit(-\d{12})?\.log$`,
    String.raw`^(copies/)?packs/\d{5}/\d{8}\.(pack|pack\.open|moved|refs|dead)$`,
    String.raw`^packs/\d{5}/removed(\.copy)?$`,
    String.raw`^sweep-(reserve|lock|probe\.tmp)$`,
    String.raw`^sets/[^/]+/(set(\.copy)?|passkey)\.json$`,
    String.raw`^copies/copies\.json$`,
    String.raw`^copies/sets/[^/]+/(set\.json|points/[^/]+\.point)$`,
    String.raw`^sets/[^/]+/points/[^/]+\.(point|forgotten)$`,
    String.raw`^sets/[^/]+/(profiles/[A-Za-z0-9][\w.-]*\.profile|heads/[A-Za-z0-9][\w.-]*\.head)$`,
    String.raw`^sets/[^/]+/proofs/[A-Za-z0-9][\w.-]*\.(proof|\d+\.evidence)$`,
    String.raw`^sets/[^/]+/(set\.lock(\.copy)?|retention\.json|marks/[A-Za-z0-9][\w.-]*\.marks(\.copy)?)$`,
    String.raw`^leases/(lock|(readers/)?[^/]+\.json)$`,
    String.raw`^(jobs/[^/]+\.(json|log)|schedules/[^/]+\.json)$`,
    // Left by a write that a crash interrupted.
    String.raw`\.tmp$`,
  ].join('|'),
);
/** Directories that are searched. */
const OPEN = new RegExp(
  [
    String.raw`^(packs|packs/\d{5}|sets|sets/[^/]+|leases(/readers)?|jobs|schedules)$`,
    String.raw`^sets/[^/]+/(points|profiles|heads|proofs|marks)$`,
    String.raw`^copies(/(packs(/\d{5})?|sets(/[^/]+(/points)?)?))?$`,
  ].join('|'),
);
/** Directories checked elsewhere, caches, and a file system's own. */
const CLOSED = /^(sessions|verify|index|block-index|import|wanted|outbox|lost\+found)$/;
/** The most that are listed. */
const STRAYS_MAX = 100;

/** The paths of stray files. */
export async function findStrays({ store }: Engine): Promise<string[]> {
  const { files } = store;
  const found: string[] = [];
  async function walk(parent: string): Promise<void> {
    for (const name of await files.list(join(store.directory, parent))) {
      if (found.length >= STRAYS_MAX) return;
      const path = join(parent, name);
      // A removal that was interrupted: the next sweep ends it.
      if (parent === 'sets' && name.startsWith('.removed-')) continue;
      const isSet = parent !== 'sets' || isName(name);
      if (FILES.test(path) || CLOSED.test(path)) continue;
      const kind = (await files.stat(join(store.directory, path)))?.kind;
      if (kind === 'directory' && OPEN.test(path) && isSet) await walk(path);
      else if (kind !== undefined) found.push(join(store.directory, path));
    }
  }
  try {
    await walk('');
  } catch (cause) {
    // A directory was removed in the meantime, or cannot be read, which is reported elsewhere.
    if (!(cause instanceof SystemError)) throw cause;
  }
  return found;
}
