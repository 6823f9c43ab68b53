import { FormatError } from '../../../formats/format-error.ts';
import type { BufferPool } from '../../../lib/buffer-pool.ts';
import type { MemoryShare } from '../../../lib/memory-budget.ts';
import { KiB } from '../../../lib/sizes.ts';
import type { ByteStream } from '../../../sys/net/network.ts';
import type { SlabPool } from '../../connection/reply-queue.ts';
import type { StayAwake } from '../../connection/busy-poll.ts';
import { intake } from '../../connection/intake.ts';
import { type RecordMemory, recordParser, type RecordState } from './records.ts';
import { connectionReplies, type OpenReply } from './replies.ts';

/** One client's stream of calls. Data from the client can end at most this connection. */
export interface Connection {
  /** Bytes of answers in memory. */
  held(): number;
  /** Accepts no further calls; resolves once those under way are answered. */
  stop(): Promise<void>;
  /** Call it when the peer has gone. */
  abandon(): void;
}

export interface ConnectionOptions {
  readonly stream: ByteStream;
  /** Memory for records, shared by all connections. */
  readonly memory: BufferPool;
  /** Counts the memory of records in use on this connection, including data that waits to be written. */
  readonly writes: MemoryShare;
  /** Slabs for replies, shared by all connections. */
  readonly slabs: SlabPool;
  readonly awake: StayAwake;
  /** Answers a call, or throws FormatError, which ends the connection. `isLast`: nothing else is under way. */
  readonly answer: (record: Uint8Array, how: RecordState, open: OpenReply) => void;
  /** Whether all connections together have room for `length` more. */
  readonly hasRoom: (length: number) => boolean;
}

const RECEIVE_LENGTH = 256 * KiB;

export function connection(options: ConnectionOptions): Connection {
  const { stream, memory, writes, slabs, awake, answer, hasRoom } = options;
  const replies = connectionReplies({
    slabs,
    send: stream.write,
    hasRoom,
    onProgress: () => calls.goOn(),
  });
  const parser = recordParser(counted(memory, writes), {
    mayTake: () => calls.mayTake(),
    broken: end,
    take(record, { keep, isLast }) {
      try {
        answer(record, { keep, isLast: isLast && replies.isIdle() }, replies.open);
      } catch (cause) {
        if (!(cause instanceof FormatError)) throw cause;
        // The record is not a call: there is no request to answer.
        end();
      }
    },
  });
  const calls = intake({
    parse: parser.parse,
    isStalled: () => replies.isStalled() || writes.isTight,
    flush: replies.flush,
    pause: stream.pause,
    resume: stream.resume,
  });

  function end(): void {
    calls.end();
    stream.destroy();
  }
  stream.onBytes = (bytes) => {
    calls.push(bytes);
    awake.arrived(replies.isIdle);
  };
  stream.start();
  stream.receiveInto(new Uint8Array(RECEIVE_LENGTH));
  return {
    held: replies.held,
    stop() {
      calls.end();
      return replies.finished();
    },
    abandon() {
      calls.end();
      parser.drop();
      replies.abandon();
    },
  };
}

/** Counts memory while it is in use: for incomplete records, and for data that waits to be written. */
function counted(pool: RecordMemory, share: MemoryShare): RecordMemory {
  return {
    take(length) {
      const bytes = pool.take(length);
      share.hold(bytes.buffer.byteLength);
      return bytes;
    },
    give(bytes) {
      share.give(bytes.buffer.byteLength);
      pool.give(bytes);
    },
  };
}
