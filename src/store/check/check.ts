import { FormatError } from '../../formats/format-error.ts';
import {
  checkFrame,
  type DomainKeys,
  FRAME_HEADER_LENGTH,
  FRAME_LENGTH_MAX,
  type FrameCodec,
  frameCodec,
  parseFrameHeader,
  PLAIN_LENGTH_MAX,
} from '../../formats/store/packs/frame.ts';
import { type Node, type Reference, rootLevel } from '../../formats/store/packs/node.ts';
import { BlockError } from '../../block/block-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import type { DiskRoot } from '../nodes/disk-root.ts';
import { type NodeReader, nodeReader } from '../nodes/node-reader.ts';
import type { PackEntry } from '../../formats/store/packs/pack.ts';
import { placesOf } from '../packs/moved-frames.ts';
import type { PackStore } from '../packs/pack-store.ts';
import type { Place } from '../packs/trust.ts';
import { StoreError } from '../packs/store-error.ts';

/** A defect; `where` is a file, or a disk of a recovery point. */
export interface Problem {
  readonly where: string;
  readonly what: string;
}

export interface PackCheckOptions {
  /** Every frame is read and checked, not only headers and footers. */
  readonly readData: boolean;
  /** Keys of a pack's domain: with them contents are authenticated; without, only checksums are verified. */
  readonly keysOf: (domain: Uint8Array) => DomainKeys | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (done: number, total: number, bytes: number) => void;
  readonly onProblem: (problem: Problem) => void;
}

export interface PackCheck {
  readonly packs: number;
  readonly frames: number;
  readonly bytes: number;
}

/** Goes through all packs in order, and through the frames that are marked as damaged. */
export async function checkPacks(packs: PackStore, options: PackCheckOptions): Promise<PackCheck> {
  const { readData, keysOf, signal, onProgress, onProblem } = options;
  const numbers = await packs.list();
  const marks = await marksOf(packs);
  const frames = frameChecker(packs, options, marks);
  let count = 0;
  let bytes = 0;
  for (const [done, pack] of numbers.entries()) {
    signal?.throwIfAborted();
    const where = packs.path(pack);
    try {
      const { size, header, entries, damage } = await packs.contents(pack);
      const says = header && header.number !== pack && `it says that it is pack ${header.number}`;
      for (const what of [damage, says]) if (what) onProblem({ where, what });
      count += entries.length;
      bytes += size;
      const keys = header && keysOf(header.domain);
      if (readData) await frames.check(pack, entries, keys);
      else await frames.check(pack, marks.get(pack) ?? [], keys);
    } catch (cause) {
      onProblem({ where, what: reason(cause) });
    }
    onProgress(done + 1, numbers.length, bytes);
  }
  // The walk through the manifests reports frames that were lost with their pack; here only their marks are settled.
  const there = new Set(numbers);
  for (const [pack, of] of marks) if (!there.has(pack)) await frames.settle(pack, of);
  for (const problem of await packs.moved.problems()) onProblem(problem);
  return { packs: numbers.length, frames: count, bytes };
}

/** The frames that reads found damaged, by pack. */
async function marksOf(packs: PackStore): Promise<ReadonlyMap<number, readonly PlacedFrame[]>> {
  const marks = (await packs.wanted.list()).flatMap(({ pack, frame }) =>
    frame ? [{ pack, frame }] : [],
  );
  const byPack = Map.groupBy(marks, ({ pack }) => pack);
  return new Map([...byPack].map(([pack, of]) => [pack, of.map(({ frame }) => frame)]));
}

/** `length` is absent where the frame is known only from a mark. */
interface PlacedFrame {
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly length?: number;
}

const frameKey = ({ offset, digest }: PlacedFrame): string => `${offset} ${digestKey(digest)}`;

/** Reads frames. Marks a damaged one, so that a backup stores it again; removes the mark of a sound one. */
function frameChecker(
  packs: PackStore,
  { onProblem }: Pick<PackCheckOptions, 'onProblem'>,
  marks: ReadonlyMap<number, readonly PlacedFrame[]>,
) {
  const memory = new Uint8Array(FRAME_LENGTH_MAX);
  const plain = new Uint8Array(PLAIN_LENGTH_MAX);

  /** Throws the defect. */
  async function read(
    pack: number,
    { digest, offset, length }: PlacedFrame,
    codec: FrameCodec | undefined,
  ): Promise<void> {
    const frame = memory.subarray(0, length ?? (await lengthAt(pack, offset)));
    await packs.read(frame, pack, offset);
    const header = checkFrame(frame);
    if (digestKey(header.digest) !== digestKey(digest)) {
      throw new FormatError('CORRUPT', 'frame has another digest than the footer says');
    }
    codec?.open(frame, plain.subarray(0, header.plainLength), digest);
  }
  async function lengthAt(pack: number, offset: number): Promise<number> {
    const head = memory.subarray(0, FRAME_HEADER_LENGTH);
    await packs.read(head, pack, offset);
    return FRAME_HEADER_LENGTH + parseFrameHeader(head).storedLength;
  }
  /** Whether the frame was stored again. */
  async function isElsewhere(
    pack: number,
    { digest, offset }: PlacedFrame,
    codec: FrameCodec | undefined,
  ): Promise<boolean> {
    const first = await packs.moved.next({ pack, offset });
    for await (const place of placesOf(packs.moved, first)) {
      try {
        await read(place.pack, { digest, ...place }, codec);
        return true;
      } catch (cause) {
        reason(cause);
      }
    }
    return false;
  }
  return {
    /** Removes the marks of a lost pack whose frames have been stored again. */
    async settle(pack: number, frames: readonly PlacedFrame[]): Promise<void> {
      for (const frame of frames) {
        if (await isElsewhere(pack, frame, undefined)) await packs.wanted.remove({ pack, frame });
      }
    },
    async check(
      pack: number,
      frames: readonly PlacedFrame[],
      keys: DomainKeys | undefined,
    ): Promise<void> {
      const codec = keys && frameCodec(keys);
      const marked = new Map((marks.get(pack) ?? []).map((it) => [frameKey(it), it]));
      for (const frame of frames) {
        const { offset, digest, length } = frame;
        const mark = marked.get(frameKey(frame));
        try {
          if (length !== undefined && length > FRAME_LENGTH_MAX) {
            throw new FormatError('CORRUPT', `frame of ${length} bytes`);
          }
          await read(pack, frame, codec);
          if (mark && codec) await packs.wanted.remove({ pack, frame: mark });
        } catch (cause) {
          const what = `at ${offset}: ${reason(cause)}`;
          if (await isElsewhere(pack, frame, codec)) {
            if (mark && codec) await packs.wanted.remove({ pack, frame: mark });
            continue;
          }
          await packs.want({ pack, offset, digest });
          onProblem({ where: packs.path(pack), what });
        }
      }
    },
  };
}

/**
 * Checks manifests. Parts that several of them share are read once: a forged tree of an unencrypted set whose nodes
 * have one child 256 times takes no longer than reading its nodes.
 */
export interface ManifestChecker {
  check(disk: DiskRoot, where: string): Promise<void>;
}

export function manifestChecker(
  packs: PackStore,
  keys: DomainKeys,
  onProblem: (problem: Problem) => void,
): ManifestChecker {
  const nodes = nodeReader(packs, frameCodec(keys));
  const seen = places();
  const holds = blockFinder(packs);

  async function walk(reference: Reference, level: number, where: string): Promise<void> {
    if (seen.has(reference, level)) return;
    const node = await open(nodes, reference, level, where);
    if (!node) return;
    seen.add(reference, level);
    for (const entry of node.entries) {
      if (level > 0) await walk(entry, level - 1, where);
      else if (!(await holds(entry))) {
        await packs.want(entry);
        const name = Buffer.from(entry.digest).toString('hex').slice(0, 16);
        const at = `${packs.path(entry.pack)} at ${entry.offset}`;
        onProblem({ where, what: `block ${name} is missing: it should be in ${at}` });
      }
    }
  }
  async function open(
    reader: NodeReader,
    reference: Reference,
    level: number,
    where: string,
  ): Promise<Node | undefined> {
    try {
      const node = await reader.node(reference);
      if (node.level === level) return node;
      onProblem({ where, what: `a manifest node has level ${node.level}, not ${level}` });
    } catch (cause) {
      onProblem({ where, what: reason(cause) });
    }
    return undefined;
  }
  return {
    async check({ size, reference }, where) {
      if (reference) await walk(reference, rootLevel(size), where);
    },
  };
}

/** No two frames begin within so many bytes (a power of two): a header alone is longer. */
const PLACE_SHIFT = 6;

/** More levels than a tree has. */
const LEVELS = 8;

/**
 * Places in packs, as nodes of a level, at one bit for each 64 bytes of a pack that has any: a Map of numbers is
 * limited to 2^24 entries.
 */
function places() {
  const packs = new Map<number, Uint8Array>();
  return {
    has({ pack, offset }: Place, level: number): boolean {
      const at = offset >>> PLACE_SHIFT;
      return ((packs.get(pack * LEVELS + level)?.[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0;
    },
    add({ pack, offset }: Place, level: number): void {
      const at = offset >>> PLACE_SHIFT;
      const key = pack * LEVELS + level;
      let bits = packs.get(key) ?? new Uint8Array(0);
      if (bits.length <= at >>> 3) {
        const grown = new Uint8Array(2 * (at >>> 3) + 1);
        grown.set(bits);
        bits = grown;
        packs.set(key, bits);
      }
      bits[at >>> 3]! |= 1 << (at & 7);
    },
  };
}

/** Packs whose entries are kept in memory: manifests mostly refer to packs in order. */
const PACKS_MAX = 64;

/** Finds out whether a block is where its leaf says, or was stored again elsewhere. */
function blockFinder(packs: PackStore): (reference: Reference) => Promise<boolean> {
  const kept = new Map<number, Map<number, string>>();

  async function offsetsOf(pack: number): Promise<Map<number, string>> {
    const known = kept.get(pack);
    if (known) return known;
    const entries = await entriesOf(pack);
    const made = new Map(entries.map(({ offset, digest }) => [offset, digestKey(digest)]));
    kept.set(pack, made);
    const [oldest] = kept.keys();
    if (kept.size > PACKS_MAX) kept.delete(oldest!);
    return made;
  }
  /** A damaged footer was reported with the packs. */
  async function entriesOf(pack: number): Promise<readonly PackEntry[]> {
    try {
      return (await packs.contents(pack)).entries;
    } catch (cause) {
      reason(cause);
      return [];
    }
  }
  return async (reference) => {
    const key = digestKey(reference.digest);
    for await (const { pack, offset } of placesOf(packs.moved, reference)) {
      if ((await offsetsOf(pack)).get(offset) === key) return true;
    }
    return false;
  };
}

/** The message for bad data and bad media; any other error is our own bug, and is thrown. */
function reason(cause: unknown): string {
  const known = [FormatError, StoreError, BlockError, SystemError];
  if (known.some((kind) => cause instanceof kind)) return (cause as Error).message;
  throw cause;
}
