import { FormatError } from '../../formats/format-error.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import type { Reference } from '../../formats/store/packs/node.ts';
import { MiB } from '../../lib/sizes.ts';
import type { PackStore } from '../../store/packs/pack-store.ts';
import { StoreError } from '../../store/packs/store-error.ts';

/**
 * Remembers which frames have been exported, at one bit for each frame of a pack. Where its memory ends it forgets
 * the packs that were asked for longest ago: then a frame may be exported once more, which does no harm.
 */
export interface SeenFrames {
  has(frame: Reference): Promise<boolean>;
  /** To be called after `has`. */
  add(frame: Reference): Promise<void>;
}

/** Bits for 20 TiB of packs. */
const BITS_MAX = 64 * MiB;
/** The memory of a pack's bits besides them. */
const PACK_COST = 128;
/** Packs whose offsets are kept: a manifest refers to packs mostly in order. */
const TABLES_MAX = 64;
/** Frames of packs that are lost, or whose footer is. */
const ELSEWHERE_MAX = 65_536;

export function seenFrames(packs: Pick<PackStore, 'footer'>): SeenFrames {
  const tables = new Map<number, Uint32Array>();
  const bits = new Map<number, Uint8Array>();
  const elsewhere = new Set<string>();
  let size = 0;

  async function offsetsOf(pack: number): Promise<Uint32Array> {
    const known = tables.get(pack);
    if (known) return known;
    const made = await readOffsets(packs, pack);
    tables.set(pack, made);
    const [oldest] = tables.keys();
    if (tables.size > TABLES_MAX) tables.delete(oldest!);
    return made;
  }
  /** The number of the frame in its pack; undefined: the pack does not have it. */
  async function numberOf({ pack, offset }: Reference): Promise<number | undefined> {
    const offsets = tables.get(pack) ?? (await offsetsOf(pack));
    let from = 0;
    let to = offsets.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (offsets[middle]! < offset) from = middle + 1;
      else to = middle;
    }
    return offsets[from] === offset ? from : undefined;
  }
  return {
    async has(frame) {
      const number = await numberOf(frame);
      if (number === undefined) return elsewhere.has(digestKey(frame.digest));
      return ((bits.get(frame.pack)?.[number >> 3] ?? 0) & (1 << (number & 7))) !== 0;
    },
    async add(frame) {
      const number = await numberOf(frame);
      if (number === undefined) {
        if (elsewhere.size < ELSEWHERE_MAX) elsewhere.add(digestKey(frame.digest));
        return;
      }
      let own = bits.get(frame.pack);
      if (!own) {
        own = new Uint8Array(((await offsetsOf(frame.pack)).length >> 3) + 1);
        bits.set(frame.pack, own);
        size += own.length + PACK_COST;
      }
      own[number >> 3]! |= 1 << (number & 7);
      while (size > BITS_MAX) {
        const [[pack, oldest]] = bits as unknown as [[number, Uint8Array]];
        bits.delete(pack);
        size -= oldest.length + PACK_COST;
      }
    },
  };
}

/** Ascending. */
async function readOffsets(packs: Pick<PackStore, 'footer'>, pack: number): Promise<Uint32Array> {
  try {
    // Not from frame to frame where it is damaged: what is found so may be another number of them the next time.
    const { entries } = await packs.footer(pack);
    return Uint32Array.from(entries, ({ offset }) => offset).sort();
  } catch (cause) {
    // Whether its frames are somewhere else is found out when they are read.
    if (cause instanceof StoreError || cause instanceof FormatError) return new Uint32Array(0);
    throw cause;
  }
}
