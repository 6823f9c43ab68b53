import { BlockError } from '../../block/block-error.ts';
import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import { type FrameCodec, frameCodec } from '../../formats/store/packs/frame.ts';
import type { Location, Reference } from '../../formats/store/packs/node.ts';
import type { HurtPlace } from '../../formats/store/packs/wanted.ts';
import { FormatError } from '../../formats/format-error.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { KiB, MiB } from '../../lib/sizes.ts';
import { type BlockCache, blockCache, type CachedBlock } from '../decode/block-cache.ts';
import { decodePool } from '../decode/decode-pool.ts';
import {
  type DecodeJob,
  type DecodeOutcome,
  type Decoder,
  inlineDecoder,
  type Priority,
} from '../decode/decoder.ts';
import { placesOf } from '../packs/moved-frames.ts';
import { type NodeReader, nodeReader } from '../nodes/node-reader.ts';
import { locationKey } from '../packs/trust.ts';
import { packPath } from '../packs/pack-path.ts';
import { pacedReads, type TryReadFrame } from '../packs/blocking-reads.ts';
import type { Store } from '../directory/store.ts';

/**
 * Blocks of a store for all readers in this process: decoded blocks lie in one bounded cache and are copied out at
 * once; others are decoded by workers, each block once however many readers wait for it.
 */
export interface BlockReader extends AsyncDisposable {
  readonly store: Store;
  readonly cacheLength: number;
  domain(keys: DomainKeys): ReadDomain;
}

/** The reader with the keys of one encryption domain. */
export interface ReadDomain {
  readonly nodes: NodeReader;
  /** Copies from a cached block, or returns false. `into` gets the bytes from `from` on. */
  tryCopy(into: Uint8Array, key: number, tag: number, from: number): boolean;
  has(key: number, tag: number): boolean;
  /** Announces blocks that will be fetched: neighbors in a pack are read together. */
  announce(blocks: readonly BlockAddress[]): void;
  /**
   * Loads these blocks, in the order of the disk, into the cache in this thread. False: the medium is slow, or an
   * error occurred; some of them may be in the cache all the same.
   */
  tryFetch(blocks: readonly BlockAddress[]): boolean;
  /**
   * Resolves once the block is in the cache, where it stays for at least this tick, or another block at the same
   * place is: then call it again. `hurt`: the disk that needs it.
   */
  fetch(block: BlockAddress, priority: Priority, hurt?: HurtPlace): Promise<void>;
}

/** A block as its leaf describes it. `key` is its `locationKey`. */
export interface BlockAddress extends Reference, CachedBlock {}

export interface ReaderOptions {
  readonly cacheLength?: number;
  /** Number of decoding threads; with none, or without a clock, this thread decodes. */
  readonly threads?: number | undefined;
  /** If given, this thread may wait for the medium as long as that is quick. */
  readonly clock?: Clock | undefined;
}

interface Asked {
  readonly priority: Priority;
  readonly hurt: HurtPlace | undefined;
}

interface Fetch {
  readonly domain: number;
  readonly tag: number;
  readonly done: Promise<void>;
}

/** With Node itself and its threads the process stays below 400 MiB. */
const CACHE_LENGTH = 160 * MiB;
export function openBlockReader(
  store: Store,
  { cacheLength = CACHE_LENGTH, threads, clock }: ReaderOptions,
): BlockReader {
  const cache = blockCache(cacheLength);
  const decoder = openDecoder(store, cache, { threads, clock });
  const tryReadFrame = clock ? pacedReads(store.packs, clock) : () => false;
  const fetching = new Map<number, Fetch>();
  const { packs } = store;
  const domains: { readonly keys: DomainKeys; readonly domain: ReadDomain }[] = [];

  const running = () => [...fetching.values()].map(({ done }) => done);

  async function reserve(domain: number, block: BlockAddress): Promise<number> {
    for (;;) {
      const place = cache.reserve(domain, block);
      if (place !== undefined) return place;
      // Every row has a block under way: once one of them is done there may be room.
      await Promise.race(running()).catch(() => {});
    }
  }
  /** The frame may have been stored again, elsewhere. */
  async function decodeElsewhere(
    block: BlockAddress,
    into: Omit<DecodeJob, keyof Location>,
    { outcome: first, priority, hurt }: Asked & { outcome: DecodeOutcome },
  ): Promise<DecodeOutcome> {
    let outcome = first;
    let last = locationOf(block);
    for await (const place of placesOf(packs.moved, last)) {
      if (locationKey(place) === locationKey(last)) continue;
      last = place;
      outcome = await decoder.decode({ ...into, ...place }, priority);
      if (outcome === 'decoded') return outcome;
    }
    if (outcome !== 'failed') await packs.want({ ...last, digest: block.digest }, hurt);
    return outcome;
  }
  async function fetchBlock(domain: number, block: BlockAddress, { priority, hurt }: Asked) {
    const { key, tag, digest, plainLength } = block;
    const known = cache.find(domain, key, tag);
    if (known >= 0 && cache.lengthAt(known) === plainLength) return;
    if (known >= 0) throw unreadable(block, 'corrupt');
    const place = await reserve(domain, block);
    const into = { domain, digest, plainLength, place };
    let outcome: DecodeOutcome = 'failed';
    try {
      const own = locationOf(block);
      const moved = packs.moved.remembered(block);
      if (moved) outcome = await decoder.decode({ ...into, ...moved }, priority);
      if (outcome !== 'decoded') outcome = await decoder.decode({ ...into, ...own }, priority);
      if (outcome !== 'decoded')
        outcome = await decodeElsewhere(block, into, { outcome, priority, hurt });
    } finally {
      // Also after a bug of ours: a row in which a block is being decoded is never reassigned.
      cache.settle(place, outcome === 'decoded');
    }
    if (outcome !== 'decoded') throw unreadable(block, outcome);
  }

  return {
    store,
    cacheLength,
    domain(keys) {
      const known = domains.find((it) => isSame(it.keys, keys));
      if (known) return known.domain;
      const number = decoder.domain(keys);
      const codec = frameCodec(keys);
      const fetchNow = spanFetcher(cache, { number, codec }, tryReadFrame);
      const domain: ReadDomain = {
        nodes: nodeReader(store.packs, codec, tryReadFrame),
        tryFetch: (blocks) =>
          !blocks.some(({ key }) => fetching.has(key)) && fetchNow(placed(store, blocks)),
        has: (key, tag) => cache.find(number, key, tag) >= 0,
        announce: (blocks) => announce(store, placed(store, blocks)),
        tryCopy(into, key, tag, from) {
          const place = cache.find(number, key, tag);
          // The description of a block in an unencrypted leaf may be forged.
          if (place < 0 || from + into.length > cache.lengthAt(place)) return false;
          const start = place + from;
          cache.memory.copy(into, 0, start, start + into.length);
          return true;
        },
        fetch(block, priority, hurt) {
          const { key, tag } = block;
          const other = fetching.get(key);
          if (!other) {
            const done = fetchBlock(number, block, { priority, hurt }).finally(() =>
              fetching.delete(key),
            );
            fetching.set(key, { domain: number, tag, done });
            return done;
          }
          if (other.domain === number && other.tag === tag) return other.done;
          // A failure of the other block says nothing about this one.
          return other.done.catch(() => {});
        },
      };
      domains.push({ keys, domain });
      return domain;
    },
    async [Symbol.asyncDispose]() {
      await decoder[Symbol.asyncDispose]();
      await Promise.allSettled(running());
    },
  };
}

/** The blocks at the places where their frames are, as far as it is known without a look. */
function placed({ packs }: Store, blocks: readonly BlockAddress[]): readonly BlockAddress[] {
  return blocks.map((block) => ({ ...block, ...packs.moved.remembered(block) }));
}

/** A gap up to this length between two frames is read along. */
const GAP_MAX = 64 * KiB;
/** No segment takes more; an unencrypted leaf may be forged. */
const ANNOUNCED_MAX = 2 * MiB;

/** Frames of one segment mostly lie side by side, as on the disk; for a single one this gains nothing. */
function announce({ packs }: Store, blocks: readonly BlockAddress[]): void {
  for (let first = 0; first < blocks.length; ) {
    const { pack, offset } = blocks[first]!;
    let next = first;
    let end = offset;
    for (
      let it = blocks[next];
      it?.pack === pack && it.offset >= end && it.offset <= end + GAP_MAX;
      it = blocks[++next]
    ) {
      end = it.offset + it.length;
    }
    if (next > first + 1) packs.willNeed(pack, offset, Math.min(end - offset, ANNOUNCED_MAX));
    first = next;
  }
}

/** Limit for the blocks of a small read and the gaps between them. */
const SPAN_MAX = 512 * KiB;

/** Reads frames that lie side by side, as those of one read mostly do, together. */
function spanFetcher(
  cache: BlockCache,
  { number, codec }: { readonly number: number; readonly codec: FrameCodec },
  tryReadFrame: TryReadFrame,
) {
  const scratch = new Uint8Array(SPAN_MAX);

  function open(block: BlockAddress, frame: Uint8Array): boolean {
    const { digest, plainLength } = block;
    const place = cache.reserve(number, block);
    if (place === undefined) return false;
    let isWhole = false;
    try {
      codec.open(frame, new Uint8Array(cache.arena, place, plainLength), digest);
      isWhole = true;
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
    } finally {
      cache.settle(place, isWhole);
    }
    return isWhole;
  }
  return (blocks: readonly BlockAddress[]): boolean => {
    for (let first = 0; first < blocks.length; ) {
      const { pack, offset } = blocks[first]!;
      let next = first;
      let end = offset;
      for (let it = blocks[next]; it?.pack === pack && it.offset === end; it = blocks[++next]) {
        if (end + it.length > offset + SPAN_MAX) break;
        end += it.length;
      }
      if (next === first || !tryReadFrame(scratch.subarray(0, end - offset), pack, offset)) {
        return false;
      }
      for (const block of blocks.slice(first, next)) {
        const at = block.offset - offset;
        if (
          cache.find(number, block.key, block.tag) < 0 &&
          !open(block, scratch.subarray(at, at + block.length))
        ) {
          return false;
        }
      }
      first = next;
    }
    return true;
  };
}

function openDecoder(
  store: Store,
  { arena }: BlockCache,
  { threads: workers = 0, clock }: ReaderOptions,
): Decoder {
  const { packs } = store;
  const { directory } = packs;
  if (workers === 0 || !clock || directory === undefined) return inlineDecoder(arena, packs);
  return decodePool({ arena, packs, directory, workers, clock });
}

function unreadable({ digest, pack, offset }: BlockAddress, outcome: DecodeOutcome): BlockError {
  const name = Buffer.from(digest).toString('hex').slice(0, 16);
  const where = `${packPath('packs', pack)} at ${offset}`;
  if (outcome === 'failed') return new BlockError('IO', `block ${name} in ${where} cannot be read`);
  return new BlockError('CORRUPT', `block ${name} in ${where} is ${outcome}: run "store check"`);
}

function locationOf({ pack, offset, length }: Location): Location {
  return { pack, offset, length };
}

function isSame(a: DomainKeys, b: DomainKeys): boolean {
  const isEqual = (x: Uint8Array | undefined, y: Uint8Array | undefined): boolean =>
    x === y || (x !== undefined && y !== undefined && Buffer.compare(x, y) === 0);
  return isEqual(a.digest, b.digest) && isEqual(a.frame, b.frame) && isEqual(a.record, b.record);
}
