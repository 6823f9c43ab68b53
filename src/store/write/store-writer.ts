import { join } from 'node:path/posix';
import { digestKey } from '../../formats/store/base/digest.ts';
import type { FrameKind } from '../../formats/store/packs/frame.ts';
import type { Location, Node } from '../../formats/store/packs/node.ts';
import { PACK_LENGTH, PACK_NUMBER_MAX } from '../../formats/store/packs/pack.ts';
import { asError } from '../../lib/as-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { type BlockIndex, indexPath, levelIndex } from '../index/block-index.ts';
import type { PackBuilder } from '../packs/pack-store.ts';
import { healing } from '../index/healing.ts';
import { type Stock, type StockOptions, takeStock } from '../index/stock.ts';
import type { Store } from '../directory/store.ts';
import { StoreError, type StoreErrorCode } from '../packs/store-error.ts';
import { lockStore } from '../directory/store-lock.ts';
import { type Place, type TrustData, trustOf } from '../packs/trust.ts';
import { openReferences } from './open-references.ts';

/**
 * The one writer of a store. Frames go into packs in the order of the appends, blocks and nodes into separate packs;
 * data that the store has already is not written again.
 */
export interface StoreWriter extends AsyncDisposable {
  /** The directory where encode threads open the index too; undefined: it is in memory. */
  readonly indexDirectory: string | undefined;
  /** For encode threads: which places from the index, and from a parent's leaf, may be referred to. */
  readonly trust: TrustData;
  /** Data that recovery points need is lost or damaged: call `met` for the contents of this backup. */
  readonly hasLoss: boolean;
  /** The place of a sound frame with these contents, from the index or appended by this writer. Throws INDEX. */
  find(digest: Uint8Array): Location | undefined;
  /** Whether a place that a recovery point names may be referred to again. */
  isGood(place: Place): boolean;
  /** Copies the frame; for a digest that the store has already, returns the existing location. */
  append(frame: Uint8Array, as: AppendedBlock | AppendedNode): Location;
  /** Whether the tree with this root is complete, by an earlier `markWhole` under the same loss. Throws INDEX. */
  isWhole(root: Uint8Array): boolean;
  /** Notes that nothing of the tree with this root is lost. Ignored where nothing is lost at all. */
  markWhole(root: Uint8Array): Promise<void>;
  /** The former place of a frame with these contents, if that is lost or damaged. Throws INDEX. */
  lostPlace(digest: Uint8Array): Location | undefined;
  /**
   * Notes that contents of this backup are at `now`: older points find them there if their own places (also `old`)
   * are lost.
   */
  met(digest: Uint8Array, now: Location, old?: Place): void;
  /** Await it now and then: resolves when little enough waits to be written. Rejects with the writer's failure. */
  drained(): Promise<void>;
  /**
   * Seals all packs, blocks before nodes. Once it resolves everything appended survives a power cut and may be
   * referred to. A failure is final: this writer accepts nothing more.
   */
  commit(): Promise<void>;
  readonly stats: WriterStats;
}

export interface AppendedBlock {
  readonly kind: 'block';
  readonly digest: Uint8Array;
}

/** `node`: what the frame holds, for the pack's list of references. */
export interface AppendedNode {
  readonly kind: 'node';
  readonly digest: Uint8Array;
  readonly node: Node;
}

export interface WriterStats {
  /** Numbers of bytes and frames written to packs. */
  readonly storedBytes: number;
  readonly storedFrames: number;
  /** Number of appended frames that the store already had. */
  readonly knownFrames: number;
}

export interface WriterOptions extends StockOptions {
  /** The domain whose keys seal the frames: 16 bytes. */
  readonly domain: Uint8Array;
  /** The name of this writer, for others that are refused in the meantime: `backup create nightly`. */
  readonly holder: string;
  readonly packLength?: number;
}

/** The most packs that are being made durable while others fill. */
const SEALING_MAX = 2;
/** The most restored places of lost frames, at some 200 bytes each. */
const HEALED_MAX = 16_384;

/**
 * Opens the store's writer for `work`, and closes it afterwards. If the index turns out to be damaged, or data that
 * `work` took from an earlier point to be lost, it starts again once with that knowledge: it finds what the first
 * attempt stored. Rejects BUSY, naming the current writer. Repairs what a crash of an earlier writer left.
 */
export async function withStoreWriter<Result>(
  store: Store,
  options: WriterOptions,
  work: (writer: StoreWriter) => Promise<Result>,
): Promise<Result> {
  try {
    await using writer = await openStoreWriter(store, options);
    return await work(writer);
  } catch (cause) {
    if (!hasCode(cause, 'INDEX') && !hasCode(cause, 'LOST')) throw cause;
    const isRemade = hasCode(cause, 'INDEX');
    if (isRemade) tellRemade(store, cause, options);
    await using writer = await openStoreWriter(store, { ...options, isRemade });
    return work(writer);
  }
}

/** `isRemade`: the existing index is discarded. Rejects BUSY, INDEX. */
export async function openStoreWriter(
  store: Store,
  options: WriterOptions & { readonly isRemade?: boolean },
): Promise<StoreWriter> {
  await using stack = new AsyncDisposableStack();
  const lock = stack.use(await lockStore(store, options.holder));
  if (options.isRemade) await store.files.removeTree(indexPath(store));
  const { index, stock } = await openIndex(store, options);
  stack.use(index);
  const writer = await writerOn(store, { index, stock, lock }, options);
  stack.move();
  return writer;
}

/** The index of earlier releases, whose entries have no checksum. */
const OLD_INDEX = 'index';

/** Discards a damaged index: it can be rebuilt. */
async function openIndex(store: Store, options: StockOptions) {
  const { files } = store;
  await files.removeTree(join(store.directory, OLD_INDEX));
  const open = async () => {
    await files.makeDirectory(indexPath(store));
    await using stack = new AsyncDisposableStack();
    const index = stack.use(await levelIndex(indexPath(store), store.indexMemory));
    const stock = await takeStock(store, index, options);
    stack.move();
    return { index, stock };
  };
  try {
    return await open();
  } catch (cause) {
    if (!hasCode(cause, 'INDEX')) throw cause;
    tellRemade(store, cause, options);
    await files.removeTree(indexPath(store));
    return open();
  }
}

function tellRemade(store: Store, { message }: StoreError, { onDamage }: StockOptions): void {
  onDamage?.(indexPath(store), `the index is rebuilt, because ${message}`);
}

/** Rebuilds the index from the packs' footers. Rejects BUSY. */
export async function rebuildIndex(store: Store, options: StockOptions): Promise<void> {
  await using _lock = await lockStore(store, 'store rebuild-index');
  await store.files.removeTree(indexPath(store));
  const { index } = await openIndex(store, options);
  await index[Symbol.asyncDispose]();
}

function hasCode(cause: unknown, code: StoreErrorCode): cause is StoreError {
  return cause instanceof StoreError && cause.code === code;
}

/** The parts that a writer takes over. */
export interface WriterParts {
  readonly index: BlockIndex;
  readonly stock: Stock;
  readonly lock: AsyncDisposable;
}

/** The writer itself. */
export async function writerOn(
  store: Store,
  { index, stock, lock }: WriterParts,
  { domain, packLength = PACK_LENGTH }: Pick<WriterOptions, 'domain' | 'packLength'>,
): Promise<StoreWriter> {
  const { trust, hasLoss, loss } = stock;
  const { isGood, isKnown } = trustOf(trust);
  /** The contents of packs that the index does not know yet. */
  const recent = new Map<string, Location>();
  const healed = healing(store, stock);
  const references = openReferences(store.packs);
  const sealing = sealer(seal);
  const packs = openPacks(trust.firstNew, sealing.add, (kind, number) =>
    store.packs.build({ kind, number, domain }),
  );
  const stats = { storedBytes: 0, storedFrames: 0, knownFrames: 0 };
  let { writtenLast } = stock;
  let closed = false;

  async function seal(pack: PackBuilder): Promise<void> {
    // Before the pack gets its name: a sweep without keys can do nothing with a pack that has no list.
    await references.write(pack);
    await pack.seal();
    await sealed(pack);
  }
  async function sealed({ number, size, entries }: PackBuilder): Promise<void> {
    await index.addPack({ pack: number, size, isSound: true }, entries);
    for (const { digest } of entries) recent.delete(digestKey(digest));
    await healed.write((pack) => pack === number || pack < trust.firstNew);
  }
  async function commit(): Promise<void> {
    packs.seal();
    await sealing.done();
    await storing(async () => {
      await healed.write(() => true);
      // Written before a recovery point refers to any of them.
      const last = packs.last();
      if (last > writtenLast) await store.packs.writeLast(last);
      writtenLast = Math.max(last, writtenLast);
    });
  }
  function find(digest: Uint8Array): Location | undefined {
    const own = recent.get(digestKey(digest));
    if (own) return own;
    const place = index.get(digest);
    return place && isKnown(place) ? place : undefined;
  }
  function lostPlace(digest: Uint8Array): Location | undefined {
    const place = hasLoss ? index.get(digest) : undefined;
    return place && !isKnown(place) ? place : undefined;
  }
  function met(digest: Uint8Array, now: Location, old?: Place): void {
    if (hasLoss) healed.note(digest, now, [lostPlace(digest), old]);
  }
  return {
    indexDirectory: index.directory,
    trust,
    hasLoss,
    stats,
    find,
    isGood,
    lostPlace,
    isWhole: (root) => loss !== undefined && index.isWhole(root, loss),
    async markWhole(root) {
      if (hasLoss && loss) await index.markWhole(root, loss);
    },
    met,
    append(frame, appended) {
      const { kind, digest } = appended;
      if (closed) throw new StoreError('CLOSED', 'this writer is closed');
      const known = find(digest);
      if (known) {
        stats.knownFrames++;
        return known;
      }
      const pack = packs.open(kind);
      const location = pack.append(frame, digest);
      recent.set(digestKey(digest), location);
      if (appended.kind === 'node') references.add(appended.node, location);
      stats.storedFrames++;
      stats.storedBytes += frame.length;
      if (pack.size >= packLength) packs.seal(kind);
      return location;
    },
    async drained() {
      for (const pack of packs.all()) await storing(() => pack.drained());
      await sealing.drained();
      if (healed.waiting > HEALED_MAX) {
        await storing(() => healed.write((pack) => pack < trust.firstNew));
      }
    },
    commit,
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      // Seals what was stored so far, so that a repeat after Ctrl-C finds it. If that fails the next writer salvages
      // what is whole.
      await commit().catch(() => {});
      await index[Symbol.asyncDispose]();
      await lock[Symbol.asyncDispose]();
    },
  };
}

/** The open packs: one of blocks, one of nodes. */
function openPacks(
  first: number,
  sealed: (pack: PackBuilder) => void,
  make: (kind: FrameKind, number: number) => PackBuilder,
) {
  let next = first;
  const open = new Map<FrameKind, PackBuilder>();

  function sealOne(kind: FrameKind): void {
    const full = open.get(kind);
    if (!full) return;
    open.delete(kind);
    sealed(full);
  }
  return {
    /** The greatest number given so far. */
    last: () => next - 1,
    all: () => open.values(),
    open(kind: FrameKind): PackBuilder {
      const current = open.get(kind);
      if (current) return current;
      // Names beyond it would not be found again.
      if (next > PACK_NUMBER_MAX)
        throw new StoreError('NO_SPACE', 'the store has no numbers left for packs');
      const made = make(kind, next++);
      open.set(kind, made);
      return made;
    },
    /** Nodes refer to blocks, so a node pack is never sealed before the blocks to which it may refer. */
    seal(kind: FrameKind = 'node'): void {
      sealOne('block');
      if (kind === 'node') sealOne('node');
    },
  };
}

/** Calls `sealOne` for full packs in order, while others fill. */
function sealer(sealOne: (pack: PackBuilder) => Promise<void>) {
  let last: Promise<void> = Promise.resolve();
  let waiting = 0;
  let failure: Error | undefined;

  async function seal(pack: PackBuilder): Promise<void> {
    try {
      if (failure) throw failure;
      await sealOne(pack);
    } catch (cause) {
      failure = asError(cause);
      // After a failure packs are closed, not sealed.
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

/** Turns failures of the world into errors of the store. */
async function storing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const full = cause.code === 'NO_SPACE';
    const message = full
      ? 'the disk of the store is full: forget recovery points and run "holdfast store sweep", or enlarge the disk'
      : cause.message;
    throw new StoreError(full ? 'NO_SPACE' : 'IO', message, { cause });
  }
}
