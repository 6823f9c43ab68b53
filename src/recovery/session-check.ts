import { BlockError } from '../block/block-error.ts';
import { checkOverlay } from '../block/overlay.ts';
import type { SessionRecord } from '../formats/store/session.ts';
import { SystemError } from '../sys/system-error.ts';
import { checkSessionTree } from '../tree/session-tree.ts';
import { TreeError } from '../tree/tree-error.ts';
import { machineFiles } from './machine-files.ts';
import { readJournal, sessionDirectory } from './session-files.ts';
import type { SessionHouse } from './session-steps.ts';

/** What is damaged of what a session wrote, in words. Changes nothing, also while the session runs. */
export async function sessionDamage(
  { world, store }: SessionHouse,
  session: SessionRecord,
): Promise<readonly string[]> {
  const { id, phase, disks } = session;
  // Before and after these its files come and go.
  if (phase !== 'ready' && phase !== 'keeping') return [];
  const { files } = world;
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
  for (const { name, size } of disks) {
    await find(() => checkOverlay({ files, directory, disk: name }, size));
  }
  await find(() => checkSessionTree(files, directory, machineFiles(session)));
  if (damage.length === 0) return [];
  // It may have been kept or discarded in the meantime.
  const now = await readJournal(world, store, id);
  return now?.phase === phase ? damage : [];
}
