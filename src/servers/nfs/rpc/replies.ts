import { RECORD_MARK_LENGTH, recordMark, REPLY_HEADER_LENGTH } from '../../../formats/wire/rpc.ts';
import { xdrWriter } from '../../../formats/wire/xdr.ts';
import { MiB } from '../../../lib/sizes.ts';
import { openAccounts } from '../../connection/accounts.ts';
import { replyQueue, type SlabPool } from '../../connection/reply-queue.ts';
import { type Reply, writeReplyHeader } from './reply.ts';

/** The replies of one connection, and the counts of calls under way. */
export interface Replies {
  readonly open: OpenReply;
  /** Whether the peer reads too slowly, or has too much under way: then no call is accepted. */
  isStalled(): boolean;
  /** Whether no call is under way. */
  isIdle(): boolean;
  /** Bytes of answers in memory. */
  held(): number;
  flush(): void;
  /** Resolves once everything is answered and sent. */
  finished(): Promise<void>;
  /** Call it when the peer has gone. */
  abandon(): void;
}

/**
 * Begins a reply to call `xid`. `fail` answers if `later` work rejects; `onEnd` gets the bytes that are sent, with
 * the record mark.
 */
export type OpenReply = (
  xid: number,
  fail: (reply: Reply, cause: unknown) => void,
  onEnd?: (reply: Uint8Array) => void,
) => Reply;

export interface RepliesOptions {
  /** Slabs shared by all connections. */
  readonly slabs: SlabPool;
  /** As `ByteStream.write`. */
  readonly send: (bytes: Uint8Array, sent: () => void) => void;
  /** Whether all connections together have room for `length` more. */
  readonly hasRoom: (length: number) => boolean;
  /** Called when something was sent, or has ended. */
  readonly onProgress: () => void;
}

const RUNNING_MAX = 4096;
/** Bytes to write of all writes under way. */
const RUNNING_LENGTH_MAX = 32 * MiB;
/** Bytes of answers to slow reads, from the read until the peer has taken them. */
const HELD_MAX = 8 * MiB;

interface Waiting {
  readonly length: number;
  readonly start: () => void;
  readonly drop: () => void;
}

export function connectionReplies(options: RepliesOptions): Replies {
  const { slabs, send, hasRoom, onProgress } = options;
  const queue = replyQueue({ slabs, send, onSent: () => accounts.onSent() });
  const accounts = openAccounts({
    runningMax: RUNNING_MAX,
    runningLengthMax: RUNNING_LENGTH_MAX,
    unsent: () => queue.unsent,
    flush: queue.flush,
    onProgress() {
      startWaiting();
      onProgress();
    },
  });
  const writer = xdrWriter();
  const waiting: Waiting[] = [];
  let readLength = 0;

  const held = (): number => queue.unsent + readLength;

  function startWaiting(): void {
    for (let next = waiting[0]; next; next = waiting[0]) {
      const isAlone = readLength === 0 && queue.unsent === 0;
      if (!isAlone && (held() + next.length > HELD_MAX || !hasRoom(next.length))) return;
      waiting.shift();
      next.start();
    }
  }
  const open: OpenReply = (xid, fail, onEnd) => {
    let start = 0;
    const failed = (cause: unknown): void => fail(reply, cause);
    const reply: Reply = {
      raw(length) {
        start = queue.reserve(RECORD_MARK_LENGTH + length);
        writer.reset(queue.bytes, queue.view, start + RECORD_MARK_LENGTH);
        return writer;
      },
      begin(length) {
        reply.raw(REPLY_HEADER_LENGTH + length);
        writeReplyHeader(writer, xid);
        return writer;
      },
      end() {
        const length = writer.at - start;
        queue.view.setUint32(start, recordMark(length - RECORD_MARK_LENGTH));
        onEnd?.(queue.bytes.subarray(start, writer.at));
        queue.commit(length);
      },
      memory: (at, length) => queue.bytes.subarray(at, at + length),
      later(length, work) {
        void work().catch(failed).then(accounts.begin(length));
      },
      laterInTurn(length, work) {
        const end = accounts.begin(0);
        const start = (): void => {
          readLength += length;
          void work()
            .catch(failed)
            .then(() => {
              readLength -= length;
              end();
            });
        };
        waiting.push({ length, start, drop: end });
        startWaiting();
      },
    };
    return reply;
  };
  return {
    open,
    held,
    isStalled: accounts.isFull,
    isIdle: accounts.isIdle,
    flush: queue.flush,
    finished: accounts.finished,
    abandon() {
      for (const { drop } of waiting.splice(0)) drop();
      accounts.abandon();
    },
  };
}
