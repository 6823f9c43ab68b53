import { DIGEST_LENGTH } from '../../formats/store/base/digest.ts';
import {
  type DomainKeys,
  FRAME_HEADER_LENGTH,
  FRAME_LENGTH_MAX,
  frameCodec,
  NONCE_LENGTH,
} from '../../formats/store/packs/frame.ts';
import {
  type Location,
  type Node,
  type NodeEntry,
  PAGE_LENGTH,
  SEGMENT_LENGTH,
  SEGMENT_PAGES,
} from '../../formats/store/packs/node.ts';
import type { Random } from '../../sys/base/random.ts';
import type { Cutting } from '../../formats/store/catalog/set-record.ts';
import { cutter } from './chunker.ts';
import type { Place } from '../packs/trust.ts';

/** One block of a segment: its place in the store, or the frame to append. */
export interface EncodedBlock {
  readonly at: number;
  readonly span: number;
  readonly digest: Uint8Array;
  readonly known: Location | undefined;
  /** A view into the slot; absent where the store has the block. */
  readonly frame: Uint8Array | undefined;
}

/**
 * The memory of one segment on its way: its bytes, then the encoded blocks. Shared with the worker thread that
 * encodes it.
 */
export interface Slot {
  readonly input: Uint8Array;
  readonly table: Int32Array;
  readonly digests: Uint8Array;
  readonly frames: Uint8Array;
}

/** at, span, known, pack, offset, length; for new blocks offset is the frame's place in `frames`. */
const FIELDS = 6;
const TABLE_LENGTH = 4 * (1 + SEGMENT_PAGES * FIELDS);
const DIGESTS_LENGTH = SEGMENT_PAGES * DIGEST_LENGTH;
/** Raw frames of single pages are the longest result; one more is sealed before its length is known. */
const FRAMES_LENGTH =
  SEGMENT_LENGTH + SEGMENT_PAGES * (FRAME_HEADER_LENGTH + 16) + FRAME_LENGTH_MAX;
export const SLOT_LENGTH = SEGMENT_LENGTH + TABLE_LENGTH + DIGESTS_LENGTH + FRAMES_LENGTH;

export function slotOf(memory: SharedArrayBuffer): Slot {
  const digestsAt = SEGMENT_LENGTH + TABLE_LENGTH;
  return {
    input: new Uint8Array(memory, 0, SEGMENT_LENGTH),
    table: new Int32Array(memory, SEGMENT_LENGTH, TABLE_LENGTH / 4),
    digests: new Uint8Array(memory, digestsAt, DIGESTS_LENGTH),
    frames: new Uint8Array(memory, digestsAt + DIGESTS_LENGTH, FRAMES_LENGTH),
  };
}

export interface SegmentEncoderOptions {
  readonly keys: DomainKeys;
  readonly cutting: Cutting;
  readonly random: Random;
  /** The place of a block in the store that may be referred to. */
  readonly find: (digest: Uint8Array) => Location | undefined;
  /** Whether a place from the parent's leaf may be referred to again. */
  readonly isGood: (place: Place) => boolean;
}

/** Random bytes are generated for this many blocks at once. */
const NONCES = 512;

/** Cuts, digests, looks up, compresses and seals blocks; for one thread: it owns scratch memory. */
export function segmentEncoder(options: SegmentEncoderOptions) {
  const { keys, cutting, random, find, isGood } = options;
  const codec = frameCodec(keys);
  const cut = cutter(cutting);
  let nonces = new Uint8Array(0);

  function nonce(): Uint8Array {
    if (nonces.length < NONCE_LENGTH) nonces = Uint8Array.from(random.bytes(NONCES * NONCE_LENGTH));
    const next = nonces.subarray(0, NONCE_LENGTH);
    nonces = nonces.subarray(NONCE_LENGTH);
    return next;
  }
  /** `parent`: the last recovery point's leaf here, most of whose blocks recur. */
  return (slot: Slot, length: number, parent: Node | undefined): void => {
    const whole = Math.ceil(length / PAGE_LENGTH) * PAGE_LENGTH;
    slot.input.fill(0, length, whole);
    const before = new Map(parent?.entries.map((entry) => [entry.at, entry]));
    let framesEnd = 0;
    const cuts = cut(slot.input.subarray(0, whole));
    slot.table[0] = cuts.length;
    for (const [index, { at, span }] of cuts.entries()) {
      const plain = slot.input.subarray(at * PAGE_LENGTH, (at + span) * PAGE_LENGTH);
      const digest = codec.digest(plain);
      slot.digests.set(digest, index * DIGEST_LENGTH);
      const same = sameBlock(before.get(at), span, digest);
      const known = same && isGood(same) ? same : find(digest);
      if (known) {
        slot.table.set([at, span, 1, known.pack, known.offset, known.length], fieldAt(index));
        continue;
      }
      const into = slot.frames.subarray(framesEnd);
      const sealed = codec.seal(plain, into, { kind: 'block', digest, nonce: nonce() });
      slot.table.set([at, span, 0, 0, framesEnd, sealed], fieldAt(index));
      framesEnd += sealed;
    }
  };
}

/** Reads the result of an encoder from the slot. */
export function encodedBlocks({ table, digests, frames }: Slot): EncodedBlock[] {
  return Array.from({ length: table[0]! }, (_, index) => {
    const [at, span, isKnown, pack, offset, length] = table.subarray(fieldAt(index));
    const place = offset! >>> 0;
    return {
      at: at!,
      span: span!,
      digest: digests.slice(index * DIGEST_LENGTH, (index + 1) * DIGEST_LENGTH),
      known: isKnown ? { pack: pack! >>> 0, offset: place, length: length! } : undefined,
      frame: isKnown ? undefined : frames.subarray(place, place + length!),
    };
  });
}

function fieldAt(index: number): number {
  return 1 + index * FIELDS;
}

function sameBlock(
  entry: NodeEntry | undefined,
  span: number,
  digest: Uint8Array,
): Location | undefined {
  if (entry?.span !== span || Buffer.compare(entry.digest, digest) !== 0) return undefined;
  return entry;
}
