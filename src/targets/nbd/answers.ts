import {
  type BlockDevice,
  type Durability,
  isWritable,
  type WritableBlockDevice,
} from '../../block/block-device.ts';
import { BlockError, type BlockErrorCode } from '../../block/block-error.ts';
import {
  COMMAND_FLAGS,
  COMMANDS,
  type Echo,
  ERRORS,
  PAYLOAD_LENGTH_MAX,
  type Request,
} from '../../formats/wire/nbd.ts';
import { bufferPool } from '../../lib/buffer-pool.ts';
import type { MemoryShare } from '../../lib/memory-budget.ts';
import { GiB, MiB } from '../../lib/sizes.ts';
import { turnOfLoop } from '../../lib/turn-of-loop.ts';
import { blockStatus } from './block-status.ts';
import { type PartialWrite, partialWrite } from './partial-write.ts';
import type { Traffic } from '../traffic.ts';
import type { Agreement } from './handshake.ts';
import type { SlabPool } from '../reply-queue.ts';
import { replyWriter } from './reply-writer.ts';

export interface AnsweringOptions {
  readonly device: BlockDevice | WritableBlockDevice;
  readonly agreement: Agreement;
  /** As `ByteStream.write`. */
  readonly send: (bytes: Uint8Array, sent: () => void) => void;
  /** For replies, of all connections. */
  readonly slabs: SlabPool;
  /** Counts what is read and written. */
  readonly traffic: Traffic;
  /** For what is to be written, until it is. */
  readonly memory: MemoryShare;
  /** For what is read, until the peer has taken it. */
  readonly reads: MemoryShare;
}

/** Of each size, for reads that are not answered at once. */
const SPARE_BUFFERS = 16;

/**
 * A range of zeros may be as long as the disk; the map of a session has a byte for each page of it, and all guests
 * wait while it is gone through. This much takes 2 ms.
 */
const ZERO_STEP = 4 * GiB;

/** Does what requests ask for, and keeps the accounts of what is under way. */
export function answering(options: AnsweringOptions, onProgress: () => void) {
  const { device, agreement, send, slabs, traffic } = options;
  const writable = isWritable(device) && !agreement.offer.readOnly ? device : undefined;
  const reply = replyWriter(agreement.style, traffic, { slabs, send, onSent });
  const objection = objections(device.geometry.size, writable !== undefined, agreement);
  const accounts = openAccounts(() => {
    reply.flush();
    onProgress();
  });

  function onSent(): void {
    reading.sent();
    onProgress();
  }
  /** `work` answers what is to be said once it is done. */
  const run: Run = (echo, length, work) => {
    const end = accounts.begin(length);
    void work()
      .catch((cause: unknown) => () => refuse(echo, cause))
      .then((answer) => {
        answer();
        end();
      });
  };
  function refuse(echo: Echo, cause: unknown): void {
    if (!(cause instanceof BlockError)) throw cause;
    reply.fail(echo, ERROR_OF[cause.code], cause.message);
  }
  const { change, changeInParts } = changing(options, { writable, accounts, run, reply });
  const reading = readings(options, { accounts, run, reply, refuse });
  function cache({ offset, length, ...echo }: Request): void {
    run(echo, 0, async () => {
      await readThrough(device, offset, Math.min(length, PAYLOAD_LENGTH_MAX));
      return () => reply.done(echo);
    });
  }
  function status({ offset, length, flags, ...echo }: Request): void {
    const only = (flags & COMMAND_FLAGS.reqOne) === 0 ? 'all' : 'first';
    run(echo, 0, async () => {
      const extents = await blockStatus(device, offset, length, only);
      return () => reply.blockStatus(echo, extents);
    });
  }
  /** `isLast`: of what has come so far. */
  function answer(request: Request, payload: Uint8Array | undefined, isLast: boolean): void {
    const error = objection(request);
    if (error !== ERRORS.none) return reply.fail(request, error, 'refused');
    const { offset, length, flags, command } = request;
    const durability = (flags & COMMAND_FLAGS.fua) === 0 ? 'cached' : 'durable';
    switch (command) {
      case COMMANDS.read:
        return length === 0 ? reply.done(request) : reading.read(request, isLast);
      case COMMANDS.write:
        if (!payload) return reply.done(request);
        return change(request, (to) => to.write(payload, offset, durability));
      case COMMANDS.trim:
      case COMMANDS.writeZeroes:
        return change(request, (to) => zeroInTurns(to, { offset, length, durability }));
      case COMMANDS.flush:
        return writable ? change(request, (to) => to.flush()) : reply.done(request);
      case COMMANDS.cache:
        return cache(request);
      default:
        return status(request);
    }
  }
  return {
    answer,
    changeInParts,
    /** Whether a payload is worth its memory. */
    wantsPayload: (request: Request) =>
      request.command === COMMANDS.write && objection(request) === ERRORS.none,
    unsent: () => reply.unsent(),
    /** The peer has gone: nothing more is sent. */
    abandon: reading.abandon,
    flush: () => reply.flush(),
    accounts,
  };
}

interface ReadingParts extends Omit<ChangingParts, 'writable'> {
  readonly refuse: (echo: Echo, cause: unknown) => void;
}

/** What is longer is read and sent in pieces of it, where the style of replies has pieces. */
const READ_PIECE = MiB;
/** How much of one read is on its way at once: enough to continue while the first piece is sent. */
const PIECES_LENGTH_MAX = 4 * MiB;

/** Its memory is held from before it is read until the peer has taken the answer. */
function readings(
  { device, reads, agreement: { style } }: AnsweringOptions,
  { accounts, run, reply, refuse }: ReadingParts,
) {
  const pool = bufferPool(SPARE_BUFFERS);
  const waiting: (() => void)[] = [];
  let queued = 0;
  let isOver = false;

  function keep(length: number): void {
    reads.give(queued - length);
    queued = length;
    if (queued <= PIECES_LENGTH_MAX) for (const go of waiting.splice(0)) go();
  }
  /** An answer is on its way. */
  function queue(length: number): void {
    queued += length;
    if (isOver) keep(0);
  }
  async function inPieces(echo: Echo, offset: number, length: number): Promise<void> {
    const memory = Buffer.allocUnsafeSlow(READ_PIECE);
    for (let at = 0; at < length; at += READ_PIECE) {
      if (isOver) return;
      const count = Math.min(READ_PIECE, length - at);
      await reads.all(count);
      const bytes = memory.subarray(0, count);
      try {
        await device.read(bytes, offset + at);
      } catch (cause) {
        reads.give(count);
        throw cause;
      }
      reply.roomForData(count).set(bytes);
      reply.data(echo, count, { at, isLast: at + count === length });
      queue(count);
      reply.flush();
      if (queued > PIECES_LENGTH_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
      else await turnOfLoop();
    }
  }
  function read(request: Request, isLast: boolean): void {
    const { offset, length } = request;
    if (length > READ_PIECE && style !== 'simple' && (request.flags & COMMAND_FLAGS.df) === 0) {
      const echo = echoOf(request);
      return run(echo, length, async () => {
        await inPieces(echo, offset, length);
        return () => {};
      });
    }
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
      return queue(length);
    }
    const echo = echoOf(request);
    run(echo, length, async () => {
      if (!isHeld) await reads.all(length);
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
        queue(length);
        pool.give(bytes);
      };
    });
  }
  return {
    /** `isLast`: of what has come so far. */
    read,
    sent: () => keep(Math.min(queued, reply.unsent())),
    abandon(): void {
      isOver = true;
      keep(0);
    },
  };
}

type Run = (echo: Echo, length: number, work: () => Promise<() => void>) => void;

interface ChangingParts {
  readonly writable: WritableBlockDevice | undefined;
  readonly accounts: ReturnType<typeof openAccounts>;
  readonly run: Run;
  readonly reply: ReturnType<typeof replyWriter>;
}

/** For requests that are not refused, so that there is something to write to. */
function changing(
  { traffic, memory }: AnsweringOptions,
  { writable, accounts, run, reply }: ChangingParts,
) {
  return {
    change(request: Request, work: (to: WritableBlockDevice) => Promise<void>): void {
      const echo = echoOf(request);
      const length = request.command === COMMANDS.write ? request.length : 0;
      run(echo, length, async () => {
        await work(writable!).finally(() => memory.give(length));
        traffic.writtenBytes += length;
        return () => reply.done(echo);
      });
    },
    changeInParts(request: Request): PartialWrite {
      const { length } = request;
      const write = partialWrite(writable!, request, { memory, begin: accounts.begin });
      const echo = echoOf(request);
      run(echo, 0, async () => {
        await write.done;
        traffic.writtenBytes += length;
        return () => reply.done(echo);
      });
      return write;
    },
  };
}

/** How much is under way; `onTurn` is called once in a turn of the event loop in which some ended. */
function openAccounts(onTurn: () => void) {
  let running = 0;
  let runningLength = 0;
  let isTurnComing = false;
  const idle: (() => void)[] = [];

  function endSoon(): void {
    if (isTurnComing) return;
    isTurnComing = true;
    setImmediate(() => {
      isTurnComing = false;
      onTurn();
    });
  }
  return {
    get running() {
      return running;
    },
    get runningLength() {
      return runningLength;
    },
    begin(length: number): () => void {
      running++;
      runningLength += length;
      return () => {
        running--;
        runningLength -= length;
        endSoon();
        if (running === 0) for (const resolve of idle.splice(0)) resolve();
      };
    },
    idle: () => (running === 0 ? Promise.resolve() : new Promise<void>((r) => idle.push(r))),
  };
}

/** Why a request cannot be; 0: it can. */
function objections(size: number, isWritable: boolean, { allocation }: Agreement) {
  return ({ command, flags, offset, length }: Request): number => {
    const allowed = FLAGS_OF[command];
    if (allowed === undefined || (flags & ~allowed) !== 0) return ERRORS.invalid;
    const writing = WRITING.has(command);
    if (writing && !isWritable) return ERRORS.notPermitted;
    if (command === COMMANDS.flush) return ERRORS.none;
    if (length > size - offset) return writing ? ERRORS.noSpace : ERRORS.invalid;
    if (command === COMMANDS.read && length > PAYLOAD_LENGTH_MAX) return ERRORS.overflow;
    if (command === COMMANDS.blockStatus && (!allocation || length === 0)) return ERRORS.invalid;
    return ERRORS.none;
  };
}

const { fua, noHole, df, reqOne, fastZero, payloadLength } = COMMAND_FLAGS;
/** Flags that a command may carry. FUA is allowed, and means nothing, where nothing is written. */
const FLAGS_OF: Readonly<Record<number, number>> = {
  [COMMANDS.read]: fua | df,
  [COMMANDS.write]: fua | payloadLength,
  [COMMANDS.flush]: fua,
  [COMMANDS.trim]: fua,
  [COMMANDS.cache]: fua,
  [COMMANDS.writeZeroes]: fua | noHole | fastZero,
  [COMMANDS.blockStatus]: fua | reqOne,
};
const WRITING: ReadonlySet<number> = new Set([COMMANDS.write, COMMANDS.trim, COMMANDS.writeZeroes]);

async function zeroInTurns(
  to: WritableBlockDevice,
  { offset, length, durability }: ZeroRange,
): Promise<void> {
  let at = offset;
  for (; length - (at - offset) > ZERO_STEP; at += ZERO_STEP) {
    await to.zero(at, ZERO_STEP, 'cached');
    await turnOfLoop();
  }
  // A sync is one of all that came before it.
  await to.zero(at, length - (at - offset), durability);
}

interface ZeroRange {
  readonly offset: number;
  readonly length: number;
  readonly durability: Durability;
}

async function readThrough(device: BlockDevice, offset: number, length: number): Promise<void> {
  const scratch = Buffer.allocUnsafeSlow(Math.min(length, MiB));
  for (let at = 0; at < length; at += scratch.length) {
    const count = Math.min(scratch.length, length - at);
    await device.read(scratch.subarray(0, count), offset + at);
  }
}

function echoOf({ cookieHigh, cookieLow, offsetHigh, offsetLow }: Request): Echo {
  return { cookieHigh, cookieLow, offsetHigh, offsetLow };
}

const ERROR_OF = {
  OUT_OF_RANGE: ERRORS.invalid,
  READ_ONLY: ERRORS.notPermitted,
  NO_SPACE: ERRORS.noSpace,
  CORRUPT: ERRORS.io,
  IO: ERRORS.io,
  TIMEOUT: ERRORS.io,
  CLOSED: ERRORS.shutdown,
} as const satisfies Record<BlockErrorCode, number>;
