import { frameCodec } from '../formats/store/frame.ts';
import { SEGMENT_LENGTH } from '../formats/store/node.ts';
import type { PointDisk, PointRecord } from '../formats/store/point.ts';
import { latestBackup, newPointId, publishPoint, readPoint } from '../catalog/points.ts';
import type { OpenSet } from '../catalog/sets.ts';
import { openDiskWriter } from '../store/disk-writer.ts';
import { type Encoder, encoderPool } from '../store/encoder.ts';
import { nodeReader } from '../store/node-reader.ts';
import { openStoreWriter, type StoreWriter } from '../store/store-writer.ts';
import type { Store } from '../store/store.ts';
import type { World } from '../sys/world.ts';
import { type ChangedBlocks, touchedPieces } from './changed-blocks.ts';
import { copyDisk, type Scope } from './copy-disk.ts';
import { openSource, type Source } from './source.ts';
import type { ImageFormat } from './image-format.ts';

export interface BackupDisk {
  readonly name: string;
  /** A file, a block device, or an NBD URI. */
  readonly where: string;
  readonly format: ImageFormat | undefined;
}

export interface BackupOptions {
  readonly set: OpenSet;
  readonly machine: string;
  readonly disks: readonly BackupDisk[];
  /** Since the machine's newest backup; a disk that is left out is read whole. */
  readonly changed?: ChangedBlocks | undefined;
  readonly workers: number;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent: (event: BackupEvent) => void;
}

export type BackupEvent =
  /** The index is being brought up to the packs. */
  | { readonly kind: 'indexing'; readonly done: number; readonly total: number }
  | {
      readonly kind: 'disk';
      readonly disk: string;
      readonly size: number;
      /** What is read, and if not only what changed, why. */
      readonly scope: 'changes' | 'all';
      readonly reason: string;
    }
  /** Over all disks, bytes. */
  | {
      readonly kind: 'progress';
      readonly position: number;
      readonly total: number;
      readonly readBytes: number;
      readonly storedBytes: number;
    };

/**
 * Makes a recovery point of a machine's disks. Until it is published nothing refers to what was
 * stored; what was stored is found again by a repeat. Rejects, and publishes nothing, if a source
 * cannot be read to its end.
 */
export async function backup(
  world: World,
  store: Store,
  options: BackupOptions,
): Promise<PointRecord> {
  const { set, machine, disks, workers, onEvent } = options;
  await using stack = new AsyncDisposableStack();
  // Sources first: what is wrong with them should be told before anything is locked.
  const sources: Source[] = [];
  for (const { where, format } of disks) {
    sources.push(stack.use(await openSource(world, where, format)));
  }
  const writer = stack.use(
    await openStoreWriter(world, store, {
      domain: set.record.domain,
      holder: `backup create ${set.name} of ${machine}`,
      onIndexing: (done, total) => onEvent({ kind: 'indexing', done, total }),
    }),
  );
  const { keys, record } = set;
  const { cutting } = record;
  const encoder = stack.use(encoderPool({ keys, cutting, random: world.random, writer, workers }));
  const parent = await newest(world, store, set, machine);
  const made = await copyAll(world, store, options, { sources, writer, encoder, parent });
  await writer.commit();
  return publishPoint(world, store, set, {
    id: newPointId(world, machine),
    machine,
    parent: parent?.id,
    origin: 'backup',
    disks: made.disks,
    stats: { readBytes: made.readBytes, storedBytes: writer.stats.storedBytes },
  });
}

async function newest(
  world: World,
  store: Store,
  set: OpenSet,
  machine: string,
): Promise<PointRecord | undefined> {
  const place = await latestBackup(world, store, set.name, machine);
  return place && readPoint(world, store, set, place.id);
}

interface Parts {
  readonly sources: readonly Source[];
  readonly writer: StoreWriter;
  readonly encoder: Encoder;
  readonly parent: PointRecord | undefined;
}

async function copyAll(
  world: World,
  store: Store,
  { set, disks, changed, signal, onEvent }: BackupOptions,
  { sources, writer, encoder, parent }: Parts,
) {
  const { keys } = set;
  const nodes = nodeReader(store.packs, frameCodec(keys));
  const total = sources.reduce((sum, { device }) => sum + device.geometry.size, 0);
  const made: PointDisk[] = [];
  let readBefore = 0;
  let positionBefore = 0;
  for (const [index, { name }] of disks.entries()) {
    const { device, where } = sources[index]!;
    const { size } = device.geometry;
    const before = parent?.disks.find((disk) => disk.name === name);
    const base = before && before.size <= size ? before : undefined;
    const { scope, reason } = scopeOf(size, { before, changed: changed?.get(name) });
    const kind = scope.kind === 'all' ? 'all' : 'changes';
    onEvent({ kind: 'disk', disk: name, size, scope: kind, reason });
    const disk = { writer, encoder, keys, random: world.random, nodes, size, parent: base };
    const diskWriter = await openDiskWriter(disk);
    const onProgress = (position: number, readBytes: number): void =>
      onEvent({
        kind: 'progress',
        total,
        position: positionBefore + position,
        readBytes: readBefore + readBytes,
        storedBytes: writer.stats.storedBytes,
      });
    readBefore += await copyDisk(device, diskWriter, { scope, signal, onProgress });
    positionBefore += size;
    const { reference } = await diskWriter.finish();
    made.push({ name, size, reference, source: where });
  }
  return { disks: made, readBytes: readBefore };
}

/** A changed-block list says something only about a disk that was backed up at its present size. */
function scopeOf(
  size: number,
  {
    before,
    changed,
  }: {
    readonly before: PointDisk | undefined;
    readonly changed: readonly { readonly offset: number; readonly length: number }[] | undefined;
  },
): { readonly scope: Scope; readonly reason: string } {
  const all: Scope = { kind: 'all' };
  if (!changed) return { scope: all, reason: 'no changed-block list' };
  if (!before) return { scope: all, reason: 'no earlier recovery point of this disk' };
  if (before.size > size) return { scope: all, reason: 'the disk has shrunk' };
  // What it grew by is as good as changed; the last segment may have ended at the old size.
  const grown = size > before.size ? [{ offset: before.size, length: size - before.size }] : [];
  const segments = touchedPieces([...changed, ...grown], SEGMENT_LENGTH, size);
  return { scope: { kind: 'segments', segments }, reason: 'changed-block list' };
}
