import { join } from 'node:path/posix';
import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import { readPartitions } from '../../file-restore/volumes/partitions.ts';
import { openBlockReader } from '../../store/read/block-reader.ts';
import { openStore } from '../../store/directory/store.ts';
import { fuseDevice } from '../../sys/fuse/fuse-device.ts';
import { FUSE_OPEN_FLAGS, unmountFuse } from '../../sys/fuse/fuse-mount.ts';
import { giveBackFreedMemory } from '../../sys/process/memory.ts';
import { processSide } from '../../sys/process/own-process.ts';
import { processors } from '../../sys/process/processors.ts';
import { realWorld } from '../../sys/world.ts';
import { serveFuse } from '../../servers/fuse/server.ts';
import { type DiskPart, SESSIONS_PATH, SETS_PATH, storeListing } from './store-listing.ts';
import { storeTree } from './store-tree.ts';

/*
 * The process that serves a mount of the store (`mount.ts` started it and holds the mount). It must never access the
 * mount itself: looking into disks is done by a separate program, without waiting for it.
 */

/** The first message to it. */
export interface ServeRequest {
  readonly store: string;
  readonly directory: string;
  readonly sets: readonly OpenSet[];
  /** See `ListingOptions`. */
  readonly only: string | undefined;
  readonly held: PointRecord | undefined;
  readonly isSuccessor: boolean;
}

export type ServeEvent =
  | { readonly kind: 'serving' }
  | { readonly kind: 'failed'; readonly message: string };

const FUSE_FD = 3;

/** Zero stands for a disk without parts. */
async function partsOf(path: string): Promise<readonly DiskPart[]> {
  const { partitions } = await readPartitions(path);
  return partitions.filter(({ number }) => number > 0);
}

async function serve(request: ServeRequest, onServing: () => void): Promise<void> {
  giveBackFreedMemory();
  const world = realWorld();
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openStore(world, request.store));
  const reader = stack.use(openBlockReader(store, { threads: processors(), clock: world.clock }));
  const listing = storeListing(store, {
    ...{ sets: request.sets, only: request.only, held: request.held, reader },
    ...{ setsPath: SETS_PATH, sessionsPath: SESSIONS_PATH },
    partsOf: (path) => partsOf(join(request.directory, path)),
  });
  const tree = stack.use(await storeTree(world, store.directory, listing));
  const device = fuseDevice(FUSE_FD, FUSE_OPEN_FLAGS);
  const { isSuccessor } = request;
  const serving = serveFuse({ clock: world.clock, device, tree, isSuccessor });
  onServing();
  await serving;
}

const side = processSide<ServeRequest, ServeEvent>();
// The process that holds the mount ends it.
side.leaveSignals();
try {
  const request = await side.receive();
  const orphaned = { unmounted: Promise.resolve() };
  // Without that process the mount would never end: its clients must not wait forever.
  side.onOrphaned(() => {
    orphaned.unmounted = unmountFuse(request.directory, true).catch(() => {});
  });
  try {
    await serve(request, () => side.post({ kind: 'serving' }));
  } finally {
    // Requests that the unmounting cuts off may fail here, and would end this process before it is done.
    await orphaned.unmounted;
  }
  side.close();
} catch (cause) {
  side.post({ kind: 'failed', message: (cause as Error).message });
  throw cause;
}
