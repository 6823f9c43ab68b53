import { join } from 'node:path/posix';
import { BlockError } from '../../block/block-error.ts';
import type { BlockDevice } from '../../block/block-device.ts';
import { spaceGuard } from '../../block/space-guard.ts';
import { formatSize } from '../../lib/sizes.ts';
import { backupReserve } from '../../store/directory/space-reserve.ts';
import type { Store } from '../../store/directory/store.ts';
import { StoreError } from '../../store/packs/store-error.ts';

/**
 * Sources that are read only while the store has room for the result, as if none of it were stored yet: reads reject
 * NO_SPACE (StoreError) before a backup takes the space reserved for sessions.
 */
export function whileThereIsRoom(store: Store): (source: BlockDevice) => BlockDevice {
  const take = roomIn(store);
  return (source) => ({
    ...source,
    async read(into, offset) {
      await take(into.length);
      await source.read(into, offset);
    },
  });
}

/** Takes room for as many bytes; rejects NO_SPACE before that takes the space reserved for sessions. */
export function roomIn(store: Store): (bytes: number) => Promise<void> {
  const { files, clock, directory, space } = store;
  let kept = 0;
  const room = spaceGuard({
    ...{ space, clock, whenFull: 'refuse' },
    async reserve(disk) {
      // A stopped session may be resumed at any time.
      const hasSessions = (await files.list(join(directory, 'sessions'))).length > 0;
      kept = backupReserve(disk, hasSessions);
      return kept;
    },
  });
  return async (length) => {
    if (room.tryTake(length)) return;
    try {
      await room.take(length);
    } catch (cause) {
      if (!(cause instanceof BlockError) || cause.code !== 'NO_SPACE') throw cause;
      throw new StoreError(
        'NO_SPACE',
        `the disk of the store is full for backups: its last ${formatSize(kept)} are kept for sessions and ` +
          'the service. No recovery point was created. Forget recovery points and run "holdfast store sweep", ' +
          'discard sessions that are no longer needed, enlarge the disk, or move other files off it',
        { cause },
      );
    }
  };
}
