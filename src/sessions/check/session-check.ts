import { BlockError } from '../../block/block-error.ts';
import { checkOverlay } from '../../block/overlay/overlay.ts';
import { checkSealedOverlay } from '../../block/sealed/check.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { pointPath, readPointRecord } from '../../catalog/points.ts';
import type { PointFileKind } from '../../formats/store/catalog/machine.ts';
import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Store } from '../../store/directory/store.ts';
import { SessionError } from '../state/session-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { checkSessionTree } from '../../vfs/session-tree.ts';
import { TreeError } from '../../vfs/tree-error.ts';
import { machineFiles } from '../guest/machine-files.ts';
import { readJournal, sessionDirectory, sessionIds } from '../state/session-files.ts';
import { overlayKeyOf } from '../state/session-overlays.ts';
import { isServable } from '../state/session-state.ts';

/**
 * Reports damage in what a session wrote, in words. Changes nothing, even while the session runs. Without the keys of
 * its set, the seals of pages are not verified.
 */
export async function sessionDamage(
  store: Store,
  session: SessionRecord,
  keys?: DomainKeys,
): Promise<readonly string[]> {
  const { id, phase, disks, sealed } = session;
  // In other phases its files appear and disappear.
  if (phase !== 'keeping' && !isServable(session)) return [];
  const { files, clock } = store;
  const directory = sessionDirectory(store, id);
  const damage: string[] = [];
  async function find(check: () => Promise<void>): Promise<void> {
    try {
      await check();
    } catch (cause) {
      const isGone = cause instanceof SystemError && cause.code === 'NOT_FOUND';
      if (!isGone && !(cause instanceof BlockError) && !(cause instanceof TreeError)) throw cause;
      damage.push(cause.message);
    }
  }
  for (const { name: disk, size } of disks) {
    const isPlain = !sealed || sealed.overPlain;
    if (isPlain) await find(() => checkOverlay({ files, directory, disk }, size));
    if (!sealed) continue;
    await find(async () => {
      const place = {
        files,
        clock,
        directory,
        disk,
        session: id,
        begun: sealed.begun.includes(disk),
      };
      const key = keys && { key: overlayKeyOf(keys) };
      damage.push(...(await checkSealedOverlay({ ...place, ...key }, size)));
    });
  }
  await find(async () => {
    const kinds = await kindsOfFiles(store, session);
    const some = (kind: PointFileKind) => (kinds.has(kind) ? new Uint8Array(0) : undefined);
    const variables = some('firmware-vars');
    const first = machineFiles(session, { variables, tpmState: some('tpm-state') });
    const key = keys && overlayKeyOf(keys);
    const seal = sealed && { session: id, takesPlain: sealed.overPlain, key };
    damage.push(...(await checkSessionTree(files, directory, { clock, first, seal })));
  });
  if (damage.length === 0) return [];
  // It may have been kept or discarded in the meantime.
  const now = await readJournal(store, id);
  return now && (now.phase === phase || isServable(now)) ? damage : [];
}

/** The kinds of files that the recovery point has of its machine, which needs no key. None if it is damaged. */
async function kindsOfFiles(
  store: Store,
  { set, point }: SessionRecord,
): Promise<ReadonlySet<string>> {
  try {
    const path = pointPath(store, { set, id: point });
    const record = await readPointRecord(store.files, store, path, undefined);
    return new Set(record.files?.map(({ kind }) => kind));
  } catch (cause) {
    if (cause instanceof CatalogError) return new Set();
    if (cause instanceof SystemError && cause.code === 'NOT_FOUND') return new Set();
    throw cause;
  }
}

/** IDs of sessions with guest data in plain text, written by an older version. */
export async function plainSessions(store: Store): Promise<string[]> {
  const found: string[] = [];
  for (const id of await sessionIds(store)) {
    try {
      const session = await readJournal(store, id);
      if (session && (!session.sealed || session.sealed.overPlain)) found.push(id);
    } catch (cause) {
      // A damaged journal is reported elsewhere.
      if (!(cause instanceof SessionError) && !(cause instanceof SystemError)) throw cause;
    }
  }
  return found;
}
