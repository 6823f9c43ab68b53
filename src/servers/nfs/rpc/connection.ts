import { FormatError } from '../../../formats/format-error.ts';
import type { BufferPool } from '../../../lib/buffer-pool.ts';
import type { MemoryShare } from '../../../lib/memory-budget.ts';
import { KiB } from '../../../lib/sizes.ts';
import type { ByteStream } from '../../../sys/net/network.ts';
import type { SlabPool } from '../../connection/reply-queue.ts';
import type { StayAwake } from '../../connection/busy-poll.ts';
import { type RecordMemory, recordParser, type RecordState } from './records.ts';
import { connectionReplies, type OpenReply } from './replies.ts';

/** One client's stream of calls. Whatever it sends ends at most this connection. */
export interface Connection {
  /** Bytes of answers in memory. */
  held(): number;
  /** Takes no call any more; resolves once those under way are answered. */
  stop(): Promise<void>;
  /** The peer has gone. */
  abandon(): void;
}

export interface ConnectionOptions {
  readonly stream: ByteStream;
  /** For records, of all connections. */
  readonly memory: BufferPool;
  /** Counts what of that is in use here, with all that waits to be written. */
  readonly writes: MemoryShare;
  /** For replies, of all connections. */
  readonly slabs: SlabPool;
  readonly awake: StayAwake;
  /** Answers a call, or throws FormatError, which ends the connection. `isLast`: nothing else is to be done. */
  readonly answer: (record: Uint8Array, how: RecordState, open: OpenReply) => void;
  /** Whether all connections together have room for `length` more. */
  readonly hasRoom: (length: number) => boolean;
}

const RECEIVE_LENGTH = 256 * KiB;

export function connection(options: ConnectionOptions): Connection {
  const { stream, memory, writes, slabs, awake, answer, hasRoom } = options;
  const replies = connectionReplies({ slabs, send: stream.write, hasRoom, onProgress: goOn });
  /** What came and was not parsed, because too much was under way. */
  let held: Uint8Array | undefined;
  let isOver = false;

  const isStalled = (): boolean => replies.isStalled() || writes.isTight;
  const parser = recordParser(counted(memory, writes), {
    mayTake: () => !isOver && !isStalled(),
    broken: end,
    take(record, { keep, isLast }) {
      try {
        answer(record, { keep, isLast: isLast && replies.isQuiet() }, replies.open);
      } catch (cause) {
        if (!(cause instanceof FormatError)) throw cause;
        // Not even a call: nobody is there to be answered.
        end();
      }
    },
  });

  function end(): void {
    isOver = true;
    held = undefined;
    stream.destroy();
  }
  function parse(bytes: Uint8Array): Uint8Array {
    const done = parser.parse(bytes);
    replies.flush();
    return bytes.subarray(done);
  }
  function goOn(): void {
    if (!held || isOver || isStalled()) return;
    const rest = parse(held);
    held = rest.length > 0 ? rest : undefined;
    if (!held && !isOver) stream.resume();
  }
  stream.onBytes = (bytes) => {
    if (isOver) return;
    if (held) {
      held = Buffer.concat([held, bytes]);
      return;
    }
    const rest = parse(bytes);
    if (rest.length > 0 && !isOver) {
      held = rest.slice();
      stream.pause();
    }
    awake.arrived(replies.isQuiet);
  };
  stream.start();
  stream.receiveInto(new Uint8Array(RECEIVE_LENGTH));
  return {
    held: replies.held,
    stop() {
      isOver = true;
      held = undefined;
      return replies.idle();
    },
    abandon() {
      isOver = true;
      held = undefined;
      parser.drop();
      replies.abandon();
    },
  };
}

/** What is taken is held while it is used: a record that is not whole yet, and what is to be written. */
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
