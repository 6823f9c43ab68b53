import type { PointDisk, PointRecord } from '../formats/store/catalog/point.ts';
import { MiB } from '../lib/sizes.ts';
import type { Store } from '../store/directory/store.ts';
import { openBlockReader } from '../store/read/block-reader.ts';
import { type ManifestDisk, manifestDisk } from '../store/read/manifest-disk.ts';
import type { OpenSet } from './sets.ts';

/** Disposing closes them. */
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

/** Disks of a recovery point that are copied from beginning to end. */
export function openPointDisks(
  store: Store,
  { id, disks }: Pick<PointRecord, 'id' | 'disks'>,
  { keys, threads }: Pick<OpenSet, 'keys'> & { readonly threads: number },
): PointDisks {
  const stack = new AsyncDisposableStack();
  const { clock } = store;
  const reader = stack.use(openBlockReader(store, { threads, clock, cacheLength: CACHE_LENGTH }));
  return {
    disks: disks.map((root) => {
      const { name } = root;
      const device = stack.use(manifestDisk(reader, { name: `${id}/${name}`, root, keys }));
      return { name, root, device };
    }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
