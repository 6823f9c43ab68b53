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
import type { BufferPool } from '../../lib/buffer-pool.ts';
import type { MemoryShare } from '../../lib/memory-budget.ts';
import { GiB } from '../../lib/sizes.ts';
import { turnOfLoop } from '../../lib/turn-of-loop.ts';
import { type Accounts, openAccounts } from '../connection/accounts.ts';
import { blockStatus } from './block-status.ts';
import { type PartialWrite, partialWrite } from './partial-write.ts';
import type { Traffic } from '../connection/traffic.ts';
import type { Agreement } from './handshake.ts';
import type { SlabPool } from '../connection/reply-queue.ts';
import { readings, readThrough, type Run } from './reading.ts';
import { echoOf, type ReplyWriter, replyWriter } from './reply-writer.ts';

export interface AnsweringOptions {
  readonly device: BlockDevice | WritableBlockDevice;
  readonly agreement: Agreement;
  /** As `ByteStream.write`. */
  readonly send: (bytes: Uint8Array, sent: () => void) => void;
  /** Slabs for replies, shared by all connections. */
  readonly slabs: SlabPool;
  /** Counts the bytes read and written. */
  readonly traffic: Traffic;
  /** Memory for data to write, held until it is written. */
  readonly memory: MemoryShare;
  /** Buffers for data to write. */
  readonly payloads: BufferPool;
  /** Memory for data that was read, held until the peer has taken it. */
  readonly reads: MemoryShare;
  /** Called when an answer that has begun cannot be completed: the peer would misread everything after it. */
  readonly onBroken: () => void;
}

const RUNNING_MAX = 1024;
const RUNNING_LENGTH_MAX = 2 * PAYLOAD_LENGTH_MAX;

/**
 * A range of zeros may be as long as the disk. A session's map has a byte for each page, and all guests wait while a
 * range of the map is changed: for this length 2 ms.
 */
const ZERO_STEP = 4 * GiB;

/** Carries out requests, and counts those under way. */
export function answering(options: AnsweringOptions, onProgress: () => void) {
  const { device, agreement, send, slabs, traffic } = options;
  const writable = isWritable(device) && !agreement.offer.readOnly ? device : undefined;
  const reply = replyWriter(agreement.style, traffic, { slabs, send, onSent });
  const objection = objections(device.geometry.size, writable !== undefined, agreement);
  const accounts = openAccounts({
    runningMax: RUNNING_MAX,
    runningLengthMax: RUNNING_LENGTH_MAX,
    unsent: reply.unsent,
    flush: reply.flush,
    onProgress,
  });

  function onSent(): void {
    reading.onSent();
    accounts.onSent();
  }
  function say(answer: () => void, end: () => void): void {
    reading.between(() => {
      answer();
      end();
    });
  }
  const run: Run = (echo, length, work) => {
    const end = accounts.begin(length);
    void work().then(
      (answer) => say(answer, end),
      (cause: unknown) => say(() => refuse(echo, cause), end),
    );
  };
  function refuse(echo: Echo, cause: unknown): void {
    if (!(cause instanceof BlockError)) throw cause;
    reply.fail(echo, ERROR_OF[cause.code], cause.message);
  }
  const parts = { writable, accounts, run, reply, say, refuse };
  const { tryWrite, write, change, changeInParts } = changing(options, parts);
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
  /** Whether the payload of a request will be used, so that it gets memory. */
  function wantsPayload(request: Request): boolean {
    return request.command === COMMANDS.write && objection(request) === ERRORS.none;
  }
  /** `isLast`: whether this is the last request received so far. */
  function answer(
    request: Request,
    payload: Uint8Array<ArrayBuffer> | undefined,
    isLast: boolean,
  ): void {
    const error = objection(request);
    if (error !== ERRORS.none) {
      const echo = echoOf(request);
      return reading.between(() => reply.fail(echo, error, 'refused'));
    }
    const { offset, length, flags, command } = request;
    const durability = (flags & COMMAND_FLAGS.fua) === 0 ? 'cached' : 'durable';
    switch (command) {
      case COMMANDS.read:
        return length === 0 ? reply.done(request) : reading.read(request, isLast);
      case COMMANDS.write:
        if (!payload) return reply.done(request);
        return write(request, payload, durability);
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
    /** True: the whole payload was taken before this returned. False: nothing was done. */
    tryWrite: (request: Request, payload: Uint8Array) =>
      wantsPayload(request) && (request.flags & fua) === 0 && tryWrite(request, payload),
    answer,
    changeInParts,
    wantsPayload,
    /** Whether an answer is being sent in parts: then no request can be answered at once. */
    isSending: reading.isSending,
    /** Call it when the peer has gone: nothing is sent afterwards. */
    abandon(): void {
      reading.abandon();
      accounts.abandon();
    },
    flush: reply.flush,
    accounts,
  };
}

interface ChangingParts {
  readonly writable: WritableBlockDevice | undefined;
  readonly accounts: Accounts;
  readonly run: Run;
  readonly reply: ReplyWriter;
  readonly say: (answer: () => void, end: () => void) => void;
  readonly refuse: (echo: Echo, cause: unknown) => void;
}

/** Changes the disk. Only for requests that were not refused, so that `writable` exists. */
function changing(
  { traffic, memory, payloads }: AnsweringOptions,
  { writable, accounts, run, reply, say, refuse }: ChangingParts,
) {
  return {
    tryWrite(request: Request, payload: Uint8Array): boolean {
      const { offset, length } = request;
      const echo = echoOf(request);
      let end: (() => void) | undefined;
      function done(failure: unknown): void {
        if (failure === undefined) traffic.writtenBytes += length;
        say(() => (failure === undefined ? reply.done(echo) : refuse(echo, failure)), end!);
      }
      try {
        if (!writable!.tryWrite(payload, offset, done)) return false;
      } catch {
        // The caller continues with `write`, which reports the reason.
        return false;
      }
      end = accounts.begin(length);
      return true;
    },
    write(request: Request, payload: Uint8Array<ArrayBuffer>, durability: Durability): void {
      const { offset, length } = request;
      const echo = echoOf(request);
      run(echo, length, async () => {
        try {
          await writable!.write(payload, offset, durability);
        } finally {
          memory.give(length);
          payloads.give(payload);
        }
        traffic.writtenBytes += length;
        return () => reply.done(echo);
      });
    },
    change(request: Request, work: (to: WritableBlockDevice) => Promise<void>): void {
      const echo = echoOf(request);
      run(echo, 0, async () => {
        await work(writable!);
        return () => reply.done(echo);
      });
    },
    changeInParts(request: Request): PartialWrite {
      const { length } = request;
      const write = partialWrite(writable!, request, { memory, payloads, begin: accounts.begin });
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

/** The error with which a request is refused; 0: it is accepted. */
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
/** Flags that a command may carry. Commands that write nothing may carry FUA, without effect. */
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
  // A sync covers all earlier writes, too.
  await to.zero(at, length - (at - offset), durability);
}

interface ZeroRange {
  readonly offset: number;
  readonly length: number;
  readonly durability: Durability;
}

const ERROR_OF = {
  OUT_OF_RANGE: ERRORS.invalid,
  READ_ONLY: ERRORS.notPermitted,
  NO_SPACE: ERRORS.noSpace,
  CORRUPT: ERRORS.io,
  IO: ERRORS.io,
  TIMEOUT: ERRORS.io,
  CLOSED: ERRORS.shutdown,
  NO_BITMAP: ERRORS.io,
} as const satisfies Record<BlockErrorCode, number>;
