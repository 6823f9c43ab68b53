import type { FrameKind } from '../../formats/store/packs/frame.ts';
import { UNIT_SHIFT } from '../../formats/store/packs/reference-list.ts';
import { type Bits, bits } from '../packs/bits.ts';
import { PLACE_SHIFT, type Place } from '../packs/trust.ts';

/**
 * The frames that recovery points need: in packs of blocks, each frame that begins in the same 2 KiB as a needed one;
 * in packs of nodes exactly the needed ones. Takes 4 KiB for each pack of blocks, 128 KiB for each of nodes.
 */
export interface LiveFrames {
  has(kind: FrameKind, place: Place): boolean;
  /** False: it was needed already, or no such pack is known. */
  addBlock(pack: number, unit: number): boolean;
  /** The same for a node. */
  addNode(place: Place): boolean;
  /** Whether anything is remembered of this pack: of others nothing is, since a forged list may name any number. */
  knows(pack: number): boolean;
  /** From now on these packs are known. */
  know(packs: Iterable<number>): void;
}

export function liveFrames(): LiveFrames {
  const known = new Set<number>();
  const blocks = new Map<number, Bits>();
  const nodes = new Map<number, Bits>();

  function add(to: Map<number, Bits>, pack: number, at: number): boolean {
    let of = to.get(pack);
    if (!of) {
      if (!known.has(pack)) return false;
      of = bits();
      to.set(pack, of);
    }
    return of.add(at);
  }
  return {
    has(kind, { pack, offset }) {
      return kind === 'block'
        ? (blocks.get(pack)?.has(offset >>> UNIT_SHIFT) ?? false)
        : (nodes.get(pack)?.has(offset >>> PLACE_SHIFT) ?? false);
    },
    addBlock: (pack, unit) => add(blocks, pack, unit),
    addNode: ({ pack, offset }) => add(nodes, pack, offset >>> PLACE_SHIFT),
    knows: (pack) => known.has(pack),
    know(packs) {
      for (const pack of packs) known.add(pack);
    },
  };
}
