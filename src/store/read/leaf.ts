import { assert } from '../../lib/assert.ts';
import { DIGEST_LENGTH } from '../../formats/store/base/digest.ts';
import { type Node, PAGE_LENGTH, SEGMENT_PAGES } from '../../formats/store/packs/node.ts';
import type { BlockAddress } from './block-reader.ts';
import { locationKey } from '../packs/trust.ts';

/** A leaf prepared for quick look-ups of the block that holds a page of the segment. */
export interface Leaf {
  /** Page to block number; NO_BLOCK: the page reads as zeros. */
  readonly blockOf: Int16Array;
  readonly firstPage: Uint8Array;
  readonly pages: Uint16Array;
  readonly keys: Float64Array;
  /** A part of each block's digest that distinguishes it from others at the same place: see block-cache.ts. */
  readonly tags: Uint32Array;
  address(block: number): BlockAddress;
  /** The addresses of all blocks, in the order of the disk. */
  addresses(): BlockAddress[];
}

export const NO_BLOCK = -1;

export function leafOf({ level, entries }: Node): Leaf {
  assert(level === 0, `node of level ${level} where a leaf belongs`);
  const blockOf = new Int16Array(SEGMENT_PAGES).fill(NO_BLOCK);
  const count = entries.length;
  const leaf = {
    blockOf,
    firstPage: new Uint8Array(count),
    pages: new Uint16Array(count),
    keys: new Float64Array(count),
    tags: new Uint32Array(count),
  };
  const locations = new Uint32Array(count * 3);
  const digests = new Uint8Array(count * DIGEST_LENGTH);
  entries.forEach((entry, block) => {
    blockOf.fill(block, entry.at, entry.at + entry.span);
    leaf.firstPage[block] = entry.at;
    leaf.pages[block] = entry.span;
    leaf.keys[block] = locationKey(entry);
    leaf.tags[block] = tagOf(entry.digest);
    locations.set([entry.pack, entry.offset, entry.length], block * 3);
    digests.set(entry.digest, block * DIGEST_LENGTH);
  });
  function address(block: number): BlockAddress {
    return {
      key: leaf.keys[block]!,
      tag: leaf.tags[block]!,
      plainLength: leaf.pages[block]! * PAGE_LENGTH,
      pack: locations[block * 3]!,
      offset: locations[block * 3 + 1]!,
      length: locations[block * 3 + 2]!,
      digest: digests.subarray(block * DIGEST_LENGTH, (block + 1) * DIGEST_LENGTH),
    };
  }
  return { ...leaf, address, addresses: () => Array.from(leaf.keys, (_, block) => address(block)) };
}

function tagOf(digest: Uint8Array): number {
  return digest[0]! + digest[1]! * 2 ** 8 + digest[2]! * 2 ** 16 + digest[3]! * 2 ** 24;
}
