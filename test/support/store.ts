import { createSet, type OpenSet, unlockSet } from '../../src/catalog/sets.ts';
import { memoryDevice } from '../../src/block/memory.ts';
import { frameCodec } from '../../src/formats/store/packs/frame.ts';
import type { PointRecord } from '../../src/formats/store/catalog/point.ts';
import type { Cutting } from '../../src/formats/store/catalog/set-record.ts';
import { storeSources } from '../../src/ingest/backup/backup.ts';
import type { ChangedBlocks } from '../../src/ingest/backup/changed-blocks.ts';
import { copyDisk, type Scope } from '../../src/ingest/backup/copy-disk.ts';
import { type MachineNotes, machineWriting } from '../../src/ingest/backup/store-machine.ts';
import { memoryIndex } from '../../src/store/index/block-index.ts';
import { CUTTING_DEFAULT } from '../../src/store/write/chunker.ts';
import type { DiskRoot } from '../../src/store/nodes/disk-root.ts';
import { openDiskWriter } from '../../src/store/write/disk-writer.ts';
import { inlineEncoder } from '../../src/store/write/encoder.ts';
import { nodeReader } from '../../src/store/nodes/node-reader.ts';
import { createStore, openStore, type Store } from '../../src/store/directory/store.ts';
import { lockStore } from '../../src/store/directory/store-lock.ts';
import { takeStock } from '../../src/store/index/stock.ts';
import { openStoreWriter, type StoreWriter, writerOn } from '../../src/store/write/store-writer.ts';
import type { FileSystem } from '../../src/sys/files/file-system.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import type { World } from '../../src/sys/world.ts';
import { crashingFs } from './crashing-fs.ts';
import { below, seeded } from './random.ts';

/** Effects that can be repeated: only the clock goes on. */
export function simulatedWorld(files: FileSystem = crashingFs(seeded(1)).files, seed = 1): World {
  const random = seeded(seed);
  return {
    files,
    clock: systemClock(),
    random: { bytes: (length) => Uint8Array.from({ length }, () => below(random, 256)) },
  };
}

export const HOME = '/store';

/** A new store with one set; unencrypted where no passphrase is given. */
export async function newStore(
  world: World,
  {
    passphrase,
    cutting,
    home = HOME,
  }: { passphrase?: string; cutting?: Cutting; home?: string } = {},
): Promise<{ store: Store; set: OpenSet }> {
  await createStore(world, home);
  const store = await openStore(world, home);
  const secret = passphrase === undefined ? undefined : Buffer.from(passphrase);
  const { record } = await createSet(store, 'set', { passphrase: secret, cutting });
  const set = await unlockSet(record, secret && { kind: 'passphrase', passphrase: secret });
  return { store, set };
}

/** The store's one writer, with its index in memory, after the repairs that a real one makes. */
export async function simulatedWriter(
  store: Store,
  set: OpenSet,
  packLength?: number,
): Promise<StoreWriter> {
  await using stack = new AsyncDisposableStack();
  const lock = stack.use(await lockStore(store, 'test'));
  const index = memoryIndex();
  const stock = await takeStock(store, index);
  const options = { domain: set.record.domain, ...(packLength && { packLength }) };
  const writer = await writerOn(store, { index, stock, lock }, options);
  stack.move();
  return writer;
}

/** Puts contents into the store, encoding in this thread. */
export async function storeDisk(
  store: Store,
  set: OpenSet,
  writer: StoreWriter,
  contents: Uint8Array,
  { parent, scope = { kind: 'all' } }: { parent?: DiskRoot | undefined; scope?: Scope } = {},
): Promise<DiskRoot> {
  const { keys } = set;
  const { random } = store;
  await using encoder = inlineEncoder({ keys, cutting: CUTTING_DEFAULT, random, writer });
  const nodes = nodeReader(store.packs, frameCodec(keys));
  const size = contents.length;
  const rewritten = scope.kind === 'all' ? 'all' : [];
  const disk = await openDiskWriter({
    ...{ writer, encoder, keys, random, nodes, size, parent, rewritten },
  });
  await using device = memoryDevice(contents);
  await copyDisk(device, disk, { scope, signal: undefined, onProgress() {} });
  return await disk.finish();
}

export interface PointOptions {
  readonly packLength?: number;
  readonly changed?: ChangedBlocks;
  readonly notes?: MachineNotes;
  readonly id?: string;
}

/** A backup of one disk, `vda`, as ingest/backup/backup.ts makes it, encoding in this thread. */
export async function storePoint(
  store: Store,
  set: OpenSet,
  contents: Uint8Array,
  { packLength, ...options }: PointOptions = {},
): Promise<PointRecord> {
  await using writer = await simulatedWriter(store, set, packLength);
  return await storeWith(writer, { store, set, contents, ...options });
}

/** The same with the writer that commands have, whose index lies on the disk. */
export async function storeIndexed(
  store: Store,
  set: OpenSet,
  contents: Uint8Array,
  onDamage?: (where: string, what: string) => void,
): Promise<PointRecord> {
  const { domain } = set.record;
  await using writer = await openStoreWriter(store, { domain, holder: 'test', onDamage });
  return await storeWith(writer, { store, set, contents });
}

interface Stored extends Omit<PointOptions, 'packLength'> {
  readonly store: Store;
  readonly set: OpenSet;
  readonly contents: Uint8Array;
}

async function storeWith(
  writer: StoreWriter,
  { store, set, contents, changed, notes, id }: Stored,
): Promise<PointRecord> {
  const { keys } = set;
  const { random } = store;
  await using encoder = inlineEncoder({ keys, cutting: CUTTING_DEFAULT, random, writer });
  await using device = memoryDevice(contents);
  const sources = [{ name: 'vda', where: 'memory', device, sectorSize: undefined }];
  const options = { set, machine: 'vm', id, changed, ...notes, onEvent() {} };
  const writing = machineWriting(store, { set, writer, encoder });
  return await storeSources(store, options, { ...writing, sources });
}
