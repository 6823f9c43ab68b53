import type { BlockDevice, Extent } from '../../block/block-device.ts';
import { type HeaderStyle, STATES } from '../../formats/wire/nbd.ts';
import { MiB } from '../../lib/sizes.ts';
import { turnOfLoop } from '../../lib/turn-of-loop.ts';

/** As many extents as one reply has; a client continues from the end of the last one. */
const EXTENTS_MAX = 4096;
const FIRST_STEP = 16 * MiB;
/**
 * If every second page differs, this has 8192 extents: the most in memory at a time, and some milliseconds of work.
 */
const LONGEST_STEP = 32 * MiB;
/** Steps of one reply, and after how many other requests have a turn. A client continues from the end of a reply. */
const STEPS_MAX = 2048;
const STEPS_OF_TURN = 16;

/**
 * The kinds of data in a range, from its beginning: one extent, or as many as fit a reply. Looks no further than
 * necessary: QEMU asks about terabytes and uses only the first extent.
 */
export async function blockStatus(
  device: BlockDevice,
  offset: number,
  length: number,
  only: 'first' | 'all',
): Promise<Extent[]> {
  const found: Extent[] = [];
  const end = offset + length;
  let step = FIRST_STEP;
  let steps = 0;
  for (let at = offset; at < end && steps < STEPS_MAX; steps++) {
    if (steps % STEPS_OF_TURN === STEPS_OF_TURN - 1) await turnOfLoop();
    const count = Math.min(step, end - at);
    for (const extent of await device.extents(at, count)) {
      const last = found.at(-1);
      if (last?.kind === extent.kind) {
        found[found.length - 1] = { ...last, length: last.length + extent.length };
      } else {
        found.push(extent);
      }
    }
    if (found.length > 1 && only === 'first') return found.slice(0, 1);
    if (found.length > EXTENTS_MAX) return found.slice(0, EXTENTS_MAX);
    at += count;
    // A single extent so far: this is probably the empty part of a large disk.
    if (found.length === 1) step = Math.min(2 * step, LONGEST_STEP);
  }
  return found;
}

/** Payload of a block status chunk. There is only one context. */
export function encodeBlockStatus(extents: readonly Extent[], style: HeaderStyle): Uint8Array {
  return style === 'extended' ? wide(extents) : narrow(extents);
}

const CONTEXT_ID = 1;

/** "NBD_REPLY_TYPE_BLOCK_STATUS": lengths of 32 bits, so a long extent is cut and ends the reply. */
function narrow(extents: readonly Extent[]): Uint8Array {
  const longest = 2 ** 32 - 65_536;
  const cut = extents.findIndex(({ length }) => length > longest);
  const sent = cut < 0 ? extents : extents.slice(0, cut + 1);
  const bytes = new Uint8Array(4 + 8 * sent.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, CONTEXT_ID);
  sent.forEach(({ length, kind }, index) => {
    view.setUint32(4 + 8 * index, Math.min(length, longest));
    view.setUint32(8 + 8 * index, stateOf(kind));
  });
  return bytes;
}

/** "NBD_REPLY_TYPE_BLOCK_STATUS_EXT". */
function wide(extents: readonly Extent[]): Uint8Array {
  const bytes = new Uint8Array(8 + 16 * extents.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, CONTEXT_ID);
  view.setUint32(4, extents.length);
  extents.forEach(({ length, kind }, index) => {
    view.setBigUint64(8 + 16 * index, BigInt(length));
    view.setBigUint64(16 + 16 * index, BigInt(stateOf(kind)));
  });
  return bytes;
}

function stateOf(kind: Extent['kind']): number {
  return kind === 'zero' ? STATES.hole | STATES.zero : 0;
}
