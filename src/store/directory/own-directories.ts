import { join } from 'node:path/posix';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Problem } from '../check/problem.ts';
import type { Store } from './store.ts';
import { StoreError } from '../packs/store-error.ts';

/*
 * An attacker who can write to the disk of a store can put a symbolic link in place of a directory: files would then
 * be made or removed elsewhere, as root. So a store is searched for links before it is changed. Files need no such
 * check: `FileSystem` does not open a link for writing, does not create a file over one, and renames and removes the
 * link itself. Readers are not at risk: all that they read is authenticated.
 */
const PARENTS = ['', 'packs', 'sets', 'sessions', 'leases', 'block-index'] as const;
const COPIES = ['copies', 'copies/packs', 'copies/sets'] as const;

/** Paths of links in places of directories. */
async function linksIn(files: FileSystem, store: string): Promise<string[]> {
  const found: string[] = [];
  async function look(parent: string): Promise<void> {
    for (const name of await files.links(join(store, parent)))
      found.push(join(store, parent, name));
  }
  /** Copies may be on another disk: if that fails, nothing is written there, and the store works without them. */
  async function lookAtCopies(): Promise<void> {
    try {
      for (const parent of COPIES) await look(parent);
      const sets = found.length > 0 ? [] : await setsIn(files, join(store, 'copies/sets'));
      for (const set of sets) await look(join('copies/sets', set));
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
    }
  }
  for (const parent of PARENTS) await look(parent);
  await lookAtCopies();
  // The search does not follow a link.
  if (found.length > 0) return found;
  for (const set of await setsIn(files, join(store, 'sets'))) await look(join('sets', set));
  return found;
}

/** The directory may be missing: a check reports that. */
async function setsIn(files: FileSystem, sets: string): Promise<string[]> {
  return (await files.stat(sets)) ? files.list(sets) : [];
}

/** Rejects CORRUPT if there are any. Called before any change of the store. */
export async function refuseLinks({ files, directory }: Store): Promise<void> {
  const [first] = await linksIn(files, directory);
  if (first !== undefined) throw new StoreError('CORRUPT', `${first} ${REASON}`);
}

export async function linkProblems({ files, directory }: Store): Promise<Problem[]> {
  return (await linksIn(files, directory)).map((where) => ({ where, what: `it ${REASON}` }));
}

const REASON =
  'is a symbolic link: writes to the store would go elsewhere, so nothing was written. Remove the link;' +
  ' if you created it to use another disk, mount that disk there instead';
