import type { BlockDevice } from '../../block/block-device.ts';
import { BlockError } from '../../block/block-error.ts';
import { COMMAND_FLAGS, type Echo, type Request } from '../../formats/wire/nbd.ts';
import { bufferPool } from '../../lib/buffer-pool.ts';
import type { MemoryShare } from '../../lib/memory-budget.ts';
import { KiB, MiB } from '../../lib/sizes.ts';
import { turnOfLoop } from '../../lib/turn-of-loop.ts';
import type { Accounts } from '../connection/accounts.ts';
import type { Agreement } from './handshake.ts';
import { type Outgoing, outgoing, QUEUED_MAX } from './outgoing.ts';
import { echoOf, type ReplyWriter } from './reply-writer.ts';

/*
 * Reads, and how their replies are sent: at once if the bytes are in memory; as a whole once they were read; or, if
 * they are long, in pieces, of which only a few are in memory at a time. If the style of replies has no pieces, or
 * the client refuses them, the parts of a long reply follow each other directly, and after the first one an error can
 * no longer be reported. So the range is read once in advance: damage is found while the request can still be
 * refused.
 */
/** Runs work that takes a while. `work` resolves with a function that sends the answer. */
export type Run = (echo: Echo, length: number, work: () => Promise<() => void>) => void;

interface ReadingOptions {
  readonly device: BlockDevice;
  readonly agreement: Agreement;
  readonly reads: MemoryShare;
  readonly onBroken: () => void;
}

interface ReadingParts {
  readonly accounts: Accounts;
  readonly run: Run;
  readonly reply: ReplyWriter;
  readonly refuse: (echo: Echo, cause: unknown) => void;
}

/** Spare buffers of each size up to `SHORT_MAX`, for reads that are not answered at once. */
const SPARE_BUFFERS = 16;
const SHORT_MAX = 256 * KiB;
/** Spare buffers of each size up to `READ_PIECE`, the usual largest request. */
const SPARE_LONG_BUFFERS = 2;
/** Longer reads are read and sent in pieces of this length, if the style of replies has pieces. */
const READ_PIECE = MiB;
/** A connection may always hold two of these: one is sent while the next is read. */
const READ_PART = MiB / 2;
/** Longer reads are read twice if the style of replies has no pieces; the Linux client's reads are shorter. */
const WHOLE_MAX = QUEUED_MAX;

/** Memory is held from before a read begins until the peer has taken the answer. */
export function readings(options: ReadingOptions, { accounts, run, reply, refuse }: ReadingParts) {
  const { device, reads, agreement } = options;
  const short = bufferPool(SPARE_BUFFERS, SHORT_MAX);
  const long = bufferPool(SPARE_LONG_BUFFERS, READ_PIECE);
  const out = outgoing(reads, reply);
  const { pieces, parts } = longReads(options, reply, out);

  function inPieces(request: Request, how: typeof pieces): void {
    const { offset, length } = request;
    const echo = echoOf(request);
    run(echo, length, async () => {
      await how(echo, offset, length);
      return () => {};
    });
  }
  /** `isLast`: whether this is the last request received so far. */
  function read(request: Request, isLast: boolean): void {
    const { offset, length, flags } = request;
    const hasPieces = agreement.style !== 'simple' && (flags & COMMAND_FLAGS.df) === 0;
    if (hasPieces && length > READ_PIECE) return inPieces(request, pieces);
    if (length > WHOLE_MAX) return inPieces(request, parts);
    const effort = isLast && accounts.running === 0 ? 'medium' : 'memory';
    const isHeld = reads.takeAll(length);
    let isDone = false;
    try {
      isDone = isHeld && device.tryRead(reply.roomForData(length), offset, effort);
    } catch (cause) {
      reads.give(length);
      return refuse(request, cause);
    }
    if (isDone) {
      reply.data(request, length);
      return out.queue(length);
    }
    const echo = echoOf(request);
    run(echo, length, async () => {
      if (!isHeld) await reads.all(length);
      const pool = length > SHORT_MAX ? long : short;
      const bytes = pool.take(length);
      try {
        await device.read(bytes, offset);
      } catch (cause) {
        reads.give(length);
        throw cause;
      }
      return () => {
        reply.roomForData(length).set(bytes);
        reply.data(echo, length);
        out.queue(length);
        pool.give(bytes);
      };
    });
  }
  return {
    read,
    between: out.between,
    isSending: () => out.sending() !== undefined,
    onSent: out.onSent,
    abandon: out.abandon,
  };
}

/** Reads that are too long for one answer: in `pieces` that are answers of their own, or in `parts` of one answer. */
function longReads({ device, reads, onBroken }: ReadingOptions, reply: ReplyWriter, out: Outgoing) {
  async function pieces(echo: Echo, offset: number, length: number): Promise<void> {
    const memory = Buffer.allocUnsafeSlow(READ_PIECE);
    for (let at = 0; at < length && !out.isOver; at += READ_PIECE) {
      const count = Math.min(READ_PIECE, length - at);
      await reads.all(count);
      const bytes = memory.subarray(0, count);
      try {
        await device.read(bytes, offset + at);
      } catch (cause) {
        reads.give(count);
        throw cause;
      }
      for (let other = out.sending(); other; other = out.sending()) await other;
      reply.roomForData(count).set(bytes);
      reply.data(echo, count, { at, isLast: at + count === length });
      out.queue(count);
      reply.flush();
      if (out.queued() > QUEUED_MAX) await out.nextSent();
      else await turnOfLoop();
    }
  }
  async function parts(echo: Echo, offset: number, length: number): Promise<void> {
    await readThrough(device, offset, length);
    // Taken before waiting: answers that wait in the meantime could take the memory that this one needs.
    await reads.all(2 * READ_PART);
    for (let other = out.sending(); other; other = out.sending()) await other;
    const end = out.beginParts();
    reply.dataHead(echo, length);
    try {
      await sendParts(offset, length);
    } catch (cause) {
      reads.give(2 * READ_PART);
      // The range was readable a moment ago. The answer has begun, so no error can be sent.
      if (cause instanceof BlockError) return onBroken();
      end();
      throw cause;
    }
    out.queue(2 * READ_PART);
    out.onSent();
    end();
  }
  async function sendParts(offset: number, length: number): Promise<void> {
    const memory = Buffer.allocUnsafeSlow(READ_PART);
    for (let at = 0; at < length && !out.isOver; at += READ_PART) {
      const bytes = memory.subarray(0, Math.min(READ_PART, length - at));
      await device.read(bytes, offset + at);
      reply.dataPart(bytes);
      reply.flush();
      await turnOfLoop();
      while (reply.unsent() > READ_PART && !out.isOver) await out.nextSent();
    }
  }
  return { pieces, parts };
}

/** Reads a range in advance: afterwards it is known to be readable, and mostly in memory. */
export async function readThrough(
  device: BlockDevice,
  offset: number,
  length: number,
): Promise<void> {
  const scratch = Buffer.allocUnsafeSlow(Math.min(length, MiB));
  for (let at = 0; at < length; at += scratch.length) {
    const count = Math.min(scratch.length, length - at);
    await device.read(scratch.subarray(0, count), offset + at);
  }
}
