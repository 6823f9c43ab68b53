import { dirname, join } from 'node:path/posix';
import { digestKey } from '../formats/store/digest.ts';
import type { FrameKind } from '../formats/store/frame.ts';
import type { Location } from '../formats/store/node.ts';
import { PACK_LENGTH } from '../formats/store/pack.ts';
import { asError } from '../lib/as-error.ts';
import { SystemError } from '../sys/system-error.ts';
import type { World } from '../sys/world.ts';
import { type BlockIndex, levelIndex } from './block-index.ts';
import { type PackBuilder, packBuilder } from './pack-builder.ts';
import { packPath } from './pack-files.ts';
import { salvageOpenPacks } from './salvage.ts';
import type { Store } from './store.ts';
import { StoreError } from './store-error.ts';
import { lockStore } from './store-lock.ts';

/**
 * The one writer of a store. Frames go into packs in the order of their appending, blocks and nodes
 * into packs of their own; what the store has already is not written again.
 */
export interface StoreWriter extends AsyncDisposable {
  readonly index: BlockIndex;
  /** Known to the index, or appended by this writer. */
  find(digest: Uint8Array): Location | undefined;
  /** Copies the frame; a digest that the store has gives the old location. */
  append(
    frame: Uint8Array,
    as: { readonly kind: FrameKind; readonly digest: Uint8Array },
  ): Location;
  /** Await it now and then: resolves when little enough waits to be written. Rejects what failed. */
  drained(): Promise<void>;
  /**
   * Seals all packs, blocks before nodes. Once it resolves everything appended survives a power cut and
   * may be referred to. A failure is final: this writer takes nothing more.
   */
  commit(): Promise<void>;
  readonly stats: WriterStats;
}

export interface WriterStats {
  /** Bytes and frames that went into packs. */
  readonly storedBytes: number;
  readonly storedFrames: number;
  /** Frames that were there already when they came. */
  readonly knownFrames: number;
}

export interface WriterOptions {
  /** Whose keys seal the frames: 16 bytes. */
  readonly domain: Uint8Array;
  /** Who writes, for whoever is refused meanwhile: `backup create nightly`. */
  readonly holder: string;
  readonly packLength?: number;
  /** Called while an index that is missing or behind catches up with the packs. */
  readonly onIndexing?: (done: number, total: number) => void;
}

/** Packs that are being made durable behind the ones that fill. */
const SEALING_MAX = 2;

/** Rejects BUSY, naming who writes now. Repairs what a crash of an earlier writer left. */
export async function openStoreWriter(
  world: World,
  store: Store,
  options: WriterOptions,
): Promise<StoreWriter> {
  await using stack = new AsyncDisposableStack();
  const lock = stack.use(await lockStore(world, store, options.holder));
  const index = stack.use(await openIndex(world, join(store.directory, 'index')));
  await catchUp(world, store, index, options.onIndexing);
  const writer = await writerOn(world, store, index, options, lock);
  stack.move();
  return writer;
}

/** A damaged index is thrown away: it can be made again. */
async function openIndex({ files }: World, directory: string): Promise<BlockIndex> {
  await files.makeDirectory(directory);
  try {
    return await levelIndex(directory);
  } catch {
    await files.removeTree(directory);
    await files.makeDirectory(directory);
    return levelIndex(directory);
  }
}

/** Makes the index anew from the packs' footers. Rejects BUSY. */
export async function rebuildIndex(
  world: World,
  store: Store,
  onIndexing: (done: number, total: number) => void,
): Promise<void> {
  await using _lock = await lockStore(world, store, 'store rebuild-index');
  const directory = join(store.directory, 'index');
  await world.files.removeTree(directory);
  await using index = await openIndex(world, directory);
  await catchUp(world, store, index, onIndexing);
}

/** Repairs what a crash left of packs, and tells the index of those that it lacks, which are durable then. */
export async function catchUp(
  { files }: World,
  store: Store,
  index: BlockIndex,
  onIndexing?: (done: number, total: number) => void,
): Promise<void> {
  const directory = join(store.directory, 'packs');
  await salvageOpenPacks(files, directory);
  const missing = (await store.packs.list()).filter((pack) => !index.knowsPack(pack));
  // A writer that was killed may have renamed what a power cut would still take back: what is found in such
  // a pack may not be referred to before.
  const groups = new Set(missing.map((pack) => dirname(store.packs.path(pack))));
  for (const path of [directory, ...groups]) await files.syncDirectory(path);
  for (const [done, pack] of missing.entries()) {
    const { entries } = await store.packs.footer(pack);
    await index.addPack(pack, entries);
    onIndexing?.(done + 1, missing.length);
  }
}

/** The writer itself, over an index and a lock that it takes over. */
export async function writerOn(
  { files }: World,
  store: Store,
  index: BlockIndex,
  { domain, packLength = PACK_LENGTH }: Pick<WriterOptions, 'domain' | 'packLength'>,
  lock: AsyncDisposable,
): Promise<StoreWriter> {
  let next = ((await store.packs.list()).at(-1) ?? 0) + 1;
  const open = new Map<FrameKind, PackBuilder>();
  /** What is in packs that the index does not know yet. */
  const recent = new Map<string, Location>();
  const sealing = sealer(index, recent);
  const stats = { storedBytes: 0, storedFrames: 0, knownFrames: 0 };
  let closed = false;

  function builder(kind: FrameKind): PackBuilder {
    const current = open.get(kind);
    if (current) return current;
    const number = next++;
    const path = packPath(join(store.directory, 'packs'), number);
    const made = packBuilder(files, path, { kind, number, domain });
    open.set(kind, made);
    return made;
  }
  function seal(kind: FrameKind): void {
    const full = open.get(kind);
    if (!full) return;
    open.delete(kind);
    sealing.add(full);
  }
  async function commit(): Promise<void> {
    sealNodes();
    await sealing.done();
  }
  /** Nodes refer to blocks, so no node pack is sealed before the blocks that it may name. */
  function sealNodes(): void {
    seal('block');
    seal('node');
  }
  function sealFull(kind: FrameKind): void {
    if (kind === 'node') sealNodes();
    else seal(kind);
  }
  function find(digest: Uint8Array): Location | undefined {
    return recent.get(digestKey(digest)) ?? index.get(digest);
  }
  return {
    index,
    stats,
    find,
    append(frame, { kind, digest }) {
      if (closed) throw new StoreError('CLOSED', 'this writer has ended');
      const known = find(digest);
      if (known) {
        stats.knownFrames++;
        return known;
      }
      const pack = builder(kind);
      const location = pack.append(frame, digest);
      recent.set(digestKey(digest), location);
      stats.storedFrames++;
      stats.storedBytes += frame.length;
      if (pack.size >= packLength) sealFull(kind);
      return location;
    },
    async drained() {
      for (const pack of open.values()) await storing(() => pack.drained());
      await sealing.drained();
    },
    commit,
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      // What was stored so far is sealed, so that a repeat after Ctrl-C finds it. If that fails the next
      // writer salvages what is whole.
      await commit().catch(() => {});
      await index[Symbol.asyncDispose]();
      await lock[Symbol.asyncDispose]();
    },
  };
}

/** Makes full packs durable behind the ones that fill, in order, and tells the index. */
function sealer(index: BlockIndex, recent: Map<string, Location>) {
  let last: Promise<void> = Promise.resolve();
  let waiting = 0;
  let failure: Error | undefined;

  async function seal(pack: PackBuilder): Promise<void> {
    try {
      if (failure) throw failure;
      await pack.seal();
      await index.addPack(pack.number, pack.entries);
      for (const { digest } of pack.entries) recent.delete(digestKey(digest));
    } catch (cause) {
      failure = asError(cause);
      // After a failure nothing is sealed any more, but closed.
      await pack.close().catch(() => {});
    }
    waiting--;
  }
  async function check(): Promise<void> {
    await storing(async () => {
      if (failure) throw failure;
    });
  }
  return {
    add(pack: PackBuilder): void {
      waiting++;
      last = last.then(() => seal(pack));
    },
    async drained(): Promise<void> {
      if (waiting > SEALING_MAX) await last;
      await check();
    },
    async done(): Promise<void> {
      await last;
      await check();
    },
  };
}

/** What the world's failures mean for a store. */
async function storing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const full = cause.code === 'NO_SPACE';
    const message = full
      ? 'the disk of the store is full: make room on it, or enlarge it (what is forgotten frees nothing yet)'
      : cause.message;
    throw new StoreError(full ? 'NO_SPACE' : 'IO', message, { cause });
  }
}
