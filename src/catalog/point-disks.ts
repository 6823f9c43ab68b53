import type { PointDisk, PointRecord } from '../formats/store/catalog/point.ts';
import { MiB } from '../lib/sizes.ts';
import type { Store } from '../store/directory/store.ts';
import { openBlockReader } from '../store/read/block-reader.ts';
import { type ManifestDisk, manifestDisk } from '../store/read/manifest-disk.ts';
import { holdPoint } from './point-lease.ts';
import type { OpenSet } from './sets.ts';

/** Disposing closes them, and ends their lease. */
export interface PointDisks extends AsyncDisposable {
  readonly disks: readonly OpenPointDisk[];
}

export interface OpenPointDisk {
  readonly name: string;
  readonly root: PointDisk;
  readonly device: ManifestDisk;
}

/** Each block is read once or twice: a large cache would not help. */
const CACHE_LENGTH = 64 * MiB;

/** Disks of a recovery point that are copied from beginning to end. Rejects NOT_FOUND if it has been forgotten. */
export async function openPointDisks(
  store: Store,
  { id, disks }: Pick<PointRecord, 'id' | 'disks'>,
  { set, threads, holder }: { set: OpenSet; threads: number; holder: string },
): Promise<PointDisks> {
  await using stack = new AsyncDisposableStack();
  const { clock } = store;
  const { keys } = set;
  stack.use(await holdPoint(store, set, { id, disks }, holder));
  const reader = stack.use(openBlockReader(store, { threads, clock, cacheLength: CACHE_LENGTH }));
  const open = disks.map((root) => {
    const { name } = root;
    const hurt = { set: set.name, point: id, disk: name };
    const device = stack.use(manifestDisk(reader, { name: `${id}/${name}`, root, keys, hurt }));
    return { name, root, device };
  });
  const owned = stack.move();
  return { disks: open, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
