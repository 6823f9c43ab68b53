import { COMMANDS, STATES } from '../../formats/wire/nbd.ts';
import { GiB } from '../../lib/sizes.ts';
import type { Extent } from '../block-device.ts';
import { EXTENT_LENGTH } from './nbd-replies.ts';
import type { NbdRequests } from './nbd-requests.ts';
import type { ByteRange } from '../../lib/bytes.ts';

/*
 * What a server says of ranges: which are holes, and which have changed. It may answer for less than was asked, so the
 * rest is asked again; in memory is one reply at a time (nbd-replies.ts has its limit), and what is returned.
 */

/** With extents of 4 KiB a reply then has 4 MiB: no server needs to cut it but for a limit of its own. */
const STATUS_LENGTH_MAX = 2 * GiB;
/**
 * The most extents of one walk, give or take one reply: 1 GiB that alternates every 4 KiB. A server that answers with
 * single extents is asked some thousand times. What is then unknown is taken for data, or for changed: that is
 * always right, and bounds the time and the memory that a server's small pieces take.
 */
const EXTENTS_MAX = 256 * 1024;
const REPLIES_MAX = 4 * 1024;

interface Span {
  readonly at: number;
  readonly end: number;
}

/** Data and zeros in a range, by context `base:allocation`; neighbors may be of one kind. */
export async function allocation(
  requests: NbdRequests,
  context: number,
  { at, end }: Span,
): Promise<Extent[]> {
  const found: Extent[] = [];
  const unknown = 0;
  await eachExtent(requests, { context, at, end, unknown }, (range, state) => {
    const kind = (state & STATES.zero) === 0 ? 'data' : 'zero';
    const last = found.at(-1);
    if (last?.kind === kind) {
      found[found.length - 1] = { ...last, length: last.length + range.length };
    } else {
      found.push({ ...range, kind });
    }
  });
  return found;
}

export interface Marked {
  readonly context: number;
  readonly size: number;
  /** Ranges with no more than so many bytes between them are returned as one. */
  readonly gap: number;
}

/** The ranges of a disk whose state by a context is not 0: in order, more than `gap` apart from each other. */
export async function* marked(
  requests: NbdRequests,
  { context, size, gap }: Marked,
): AsyncGenerator<ByteRange> {
  let last: ByteRange | undefined;
  for (let at = 0; at < size; at += STATUS_LENGTH_MAX) {
    const found: ByteRange[] = [];
    const end = Math.min(size, at + STATUS_LENGTH_MAX);
    await eachExtent(requests, { context, at, end, unknown: 1 }, (range, state) => {
      if (state === 0) return;
      if (last && last.offset + last.length + gap >= range.offset) {
        last = { ...last, length: range.offset + range.length - last.offset };
        return;
      }
      if (last) found.push(last);
      last = range;
    });
    yield* found;
  }
  if (last) yield last;
}

interface Walk extends Span {
  readonly context: number;
  /** The state of what the server does not answer for. */
  readonly unknown: number;
}

/** Calls `use` for extents in order that cover the span, without gaps. */
async function eachExtent(
  requests: NbdRequests,
  { context, at, end, unknown }: Walk,
  use: (range: ByteRange, state: number) => void,
): Promise<void> {
  let offset = at;
  let extents = 0;
  for (let replies = 0; offset < end; replies++) {
    if (extents >= EXTENTS_MAX || replies >= REPLIES_MAX) {
      use({ offset, length: end - offset }, unknown);
      return;
    }
    const length = Math.min(STATUS_LENGTH_MAX, end - offset);
    const request = { command: COMMANDS.blockStatus, flags: 0, offset, length };
    const status = await requests.status(request, context);
    extents += status.length / EXTENT_LENGTH;
    const view = new DataView(status.buffer, status.byteOffset, status.length);
    for (let entry = 0; entry < status.length && offset < end; entry += EXTENT_LENGTH) {
      // The last one may go on beyond what was asked ("NBD_CMD_BLOCK_STATUS"). None is empty (nbd-replies.ts).
      const count = Math.min(view.getUint32(entry), end - offset);
      use({ offset, length: count }, view.getUint32(entry + 4));
      offset += count;
    }
  }
}
