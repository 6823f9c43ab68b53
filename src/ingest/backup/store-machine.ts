import type { BlockDevice } from '../../block/block-device.ts';
import { memoryDevice } from '../../block/memory.ts';
import { checkNames } from '../../catalog/names.ts';
import { newPointId } from '../../catalog/points.ts';
import { publishPoint } from '../../catalog/publication.ts';
import { lockOfNewPoint } from '../../catalog/removal/set-lock.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import {
  fileLengthMax,
  type PointFile,
  type PointFileKind,
} from '../../formats/store/catalog/machine.ts';
import {
  POINT_DISKS_MAX,
  type PointDisk,
  type PointLink,
  type PointRecord,
  type SectorSize,
} from '../../formats/store/catalog/point.ts';
import { frameCodec } from '../../formats/store/packs/frame.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { Store } from '../../store/directory/store.ts';
import type { DiskRoot } from '../../store/nodes/disk-root.ts';
import { type NodeReader, nodeReader } from '../../store/nodes/node-reader.ts';
import { openDiskWriter } from '../../store/write/disk-writer.ts';
import { type Encoder, encoderPool } from '../../store/write/encoder.ts';
import {
  type StoreWriter,
  withStoreWriter,
  type WriterOptions,
} from '../../store/write/store-writer.ts';
import type { Rewritten } from '../../store/write/tree-builder.ts';
import { IngestError } from '../source/ingest-error.ts';
import { copyDisk, type Scope } from './copy-disk.ts';

/*
 * How disks become a recovery point, wherever they come from: their blocks and nodes are stored, all of that is made
 * durable, and only then the point is published. Until then nothing refers to what was stored; a repeat finds it again.
 */

/** A disk of the machine. What is not read of it stays as `base` has it. */
export interface MachineDisk {
  readonly name: string;
  readonly device: BlockDevice;
  readonly sectorSize?: SectorSize | undefined;
  /** For people: where it is read from. */
  readonly from: string;
  /** Not larger than the disk. */
  readonly base: DiskRoot | undefined;
  readonly scope: Scope;
  /** The part of `scope` that counts even where the store has lost the base's nodes. */
  readonly rewritten: Rewritten;
}

/** What storing a machine needs open; lent. */
export interface MachineWriting {
  readonly set: OpenSet;
  readonly writer: StoreWriter;
  readonly encoder: Encoder;
  readonly nodes: NodeReader;
}

/** A file of the machine that is stored with the recovery point, or was stored with an earlier one of the set. */
export type NewFile =
  | { readonly name: string; readonly kind: PointFileKind; readonly bytes: Uint8Array }
  | PointFile;

/** What a recovery point says of its machine, besides its disks: machine.md. */
export interface MachineNotes extends Pick<PointRecord, 'consistency' | 'run' | 'tracking'> {
  readonly files?: readonly NewFile[] | undefined;
}

export interface NewPoint extends Pick<PointRecord, 'machine' | 'parent' | 'origin'>, MachineNotes {
  /** Undefined: it gets one once its disks are stored. */
  readonly id?: string | undefined;
  /** The machine's newest point as something outside of the store remembers it: see `publishPoint`. */
  readonly known: PointLink | undefined;
  /** Lent until they are stored. */
  readonly disks: AsyncIterable<MachineDisk>;
  /** How many are stored at the same time; by default each is stored before the next one is asked for. */
  readonly atOnce?: number;
  /** How far on this disk, at last its size; bytes read so far of all disks. */
  readonly onProgress: (disk: string, position: number, readBytes: number) => void;
  /** Called once all disks are durable, before the point is there. */
  readonly onStored: (disks: readonly PointDisk[]) => Promise<void>;
  readonly signal: AbortSignal | undefined;
}

export interface MachineWritingOptions extends Omit<WriterOptions, 'domain'> {
  readonly set: OpenSet;
  readonly workers: number;
}

/** The store's writer, and encode threads, for `work`; see `withStoreWriter`, which may begin it once more. */
export async function withMachineWriting<Result>(
  store: Store,
  { set, workers, ...options }: MachineWritingOptions,
  work: (writing: MachineWriting) => Promise<Result>,
): Promise<Result> {
  const { keys, record } = set;
  const { domain, cutting } = record;
  const { random } = store;
  // A lock that cannot be read ends a backup before it has read disks for hours.
  await lockOfNewPoint(store, set);
  return await withStoreWriter(store, { ...options, domain }, async (writer) => {
    await using encoder = encoderPool({ keys, cutting, random, writer, workers });
    return await work(machineWriting(store, { set, writer, encoder }));
  });
}

/** The same over a writer and an encoder that are open. */
export function machineWriting(
  { packs }: Store,
  parts: Pick<MachineWriting, 'set' | 'writer' | 'encoder'>,
): MachineWriting {
  return { ...parts, nodes: nodeReader(packs, frameCodec(parts.set.keys)) };
}

/**
 * Rejects, and publishes nothing, if a disk cannot be read to its end; BAD_NAME before it stores a disk or a file
 * whose name is none, or is that of another one.
 */
export async function storeMachine(
  store: Store,
  writing: MachineWriting,
  point: NewPoint,
): Promise<PointRecord> {
  const { id, machine, parent, origin, known, onStored } = point;
  const { consistency, run, tracking } = point;
  const { set, writer } = writing;
  checkNames(
    (point.files ?? []).map(({ name }) => name),
    'file',
  );
  const { stored, readBytes } = await storeDisks(store, writing, point);
  const files = await storeFiles(store, writing, point);
  // What the recovery point refers to is durable before the point is there.
  await writer.commit();
  await onStored(stored);
  const { storedBytes } = writer.stats;
  const lockedUntil = await lockOfNewPoint(store, set);
  const draft = {
    id: id ?? newPointId(store, machine),
    machine,
    parent,
    origin,
    disks: stored,
    stats: { readBytes, storedBytes },
    ...(files && { files }),
    ...(consistency && { consistency }),
    ...(run !== undefined && { run }),
    ...(tracking && { tracking }),
    ...(lockedUntil !== undefined && { lockedUntil }),
  };
  return publishPoint(store, set, draft, known);
}

/** Throws BAD_NAME, and UNSUPPORTED if there are more than a recovery point can have. */
export function checkDisks(names: readonly string[]): void {
  if (names.length > POINT_DISKS_MAX) {
    const what = `more than ${POINT_DISKS_MAX} disks, which is the most that a recovery point has`;
    throw new IngestError('UNSUPPORTED', `the machine has ${what}: leave some out (--exclude)`);
  }
  checkNames(names, 'disk');
}

/** The first failure ends all. */
async function storeDisks(
  store: Store,
  writing: MachineWriting,
  { disks, atOnce = 1, onProgress, signal }: NewPoint,
): Promise<{ readonly stored: PointDisk[]; readonly readBytes: number }> {
  const ending = new AbortController();
  const until = AbortSignal.any([ending.signal, ...(signal ? [signal] : [])]);
  const all: Promise<PointDisk>[] = [];
  const under = new Set<Promise<void>>();
  const names: string[] = [];
  let readBytes = 0;

  async function storeOne(disk: MachineDisk): Promise<PointDisk> {
    const { name, sectorSize, from: source, device } = disk;
    const { size } = device.geometry;
    let before = 0;
    const { reference } = await storeDisk(store, writing, disk, {
      signal: until,
      onProgress(position, read) {
        readBytes += read - before;
        before = read;
        onProgress(name, position, readBytes);
      },
    });
    onProgress(name, size, readBytes);
    return { name, size, reference, source, ...(sectorSize && { sectorSize }) };
  }
  function begin(disk: MachineDisk): void {
    names.push(disk.name);
    checkDisks(names);
    const work = storeOne(disk);
    all.push(work);
    const ended = work
      .then(
        () => {},
        (cause: unknown) => ending.abort(cause),
      )
      .finally(() => under.delete(ended));
    under.add(ended);
  }
  try {
    for await (const disk of disks) {
      begin(disk);
      if (under.size >= atOnce) await Promise.race(under);
      ending.signal.throwIfAborted();
    }
  } catch (cause) {
    ending.abort(cause);
  }
  await Promise.allSettled(all);
  ending.signal.throwIfAborted();
  return { stored: await Promise.all(all), readBytes };
}

/** As small disks: what an earlier recovery point has too is found again. */
async function storeFiles(
  store: Store,
  writing: MachineWriting,
  { files, signal }: Pick<NewPoint, 'files' | 'signal'>,
): Promise<PointFile[] | undefined> {
  const stored: PointFile[] = [];
  for (const file of files ?? []) {
    if ('reference' in file) stored.push(file);
    else stored.push(await storeFile(store, writing, { ...file, signal }));
  }
  return files && stored;
}

async function storeFile(
  store: Store,
  writing: MachineWriting,
  {
    name,
    kind,
    bytes,
    signal,
  }: Exclude<NewFile, PointFile> & { readonly signal: AbortSignal | undefined },
): Promise<PointFile> {
  const size = bytes.length;
  if (size === 0) return { name, kind, size, reference: undefined };
  const most = fileLengthMax(kind);
  if (size > most) {
    const limit = `a file like this has at most ${formatSize(most)}`;
    throw new IngestError(
      'UNSUPPORTED',
      `${name} of the machine has ${formatSize(size)}: ${limit}`,
    );
  }
  await using device = memoryDevice(bytes);
  const scope = { kind: 'all' } as const;
  const disk = { name, from: name, device, base: undefined, scope, rewritten: 'all' } as const;
  const { reference } = await storeDisk(store, writing, disk, { signal, onProgress() {} });
  return { name, kind, size, reference };
}

async function storeDisk(
  { random }: Store,
  { set, writer, encoder, nodes }: MachineWriting,
  { device, base: parent, scope, rewritten }: MachineDisk,
  { signal, onProgress }: Omit<Parameters<typeof copyDisk>[2], 'scope'>,
) {
  const { keys } = set;
  const { size } = device.geometry;
  const disk = await openDiskWriter({
    writer,
    encoder,
    keys,
    random,
    nodes,
    size,
    parent,
    rewritten,
  });
  await copyDisk(device, disk, { scope, signal, onProgress });
  return await disk.finish();
}
