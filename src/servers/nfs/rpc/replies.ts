import { RECORD_MARK_LENGTH, recordMark, REPLY_HEADER_LENGTH } from '../../../formats/wire/rpc.ts';
import { xdrWriter } from '../../../formats/wire/xdr.ts';
import { MiB } from '../../../lib/sizes.ts';
import { replyQueue, type SlabPool } from '../../connection/reply-queue.ts';
import { type Reply, writeReplyHeader } from './reply.ts';

/** The replies of one connection, and the accounts of what is under way for them. */
export interface Replies {
  readonly open: OpenReply;
  /** The peer takes too little, or has too much under way: no call is taken meanwhile. */
  isStalled(): boolean;
  /** Nothing is under way. */
  isQuiet(): boolean;
  /** Bytes of answers in memory. */
  held(): number;
  flush(): void;
  /** Resolves once everything is answered and sent. */
  idle(): Promise<void>;
  /** The peer has gone. */
  abandon(): void;
}

/**
 * Begins a reply to call `xid`. What `later` work rejects goes to `fail`, which answers it; `onEnd` sees what
 * is sent, with its record mark.
 */
export type OpenReply = (
  xid: number,
  fail: (reply: Reply, cause: unknown) => void,
  onEnd?: (reply: Uint8Array) => void,
) => Reply;

export interface RepliesOptions {
  /** Of all connections. */
  readonly slabs: SlabPool;
  /** As `ByteStream.write`. */
  readonly send: (bytes: Uint8Array, sent: () => void) => void;
  /** Whether all connections together have room for `length` more. */
  readonly hasRoom: (length: number) => boolean;
  /** Something was sent or ended. */
  readonly onProgress: () => void;
}

/** A reader slower than we are is waited for. */
const UNSENT_MAX = MiB;
const RUNNING_MAX = 4096;
/** Contents of writes under way. */
const RUNNING_LENGTH_MAX = 32 * MiB;
/** Answers of slow reads, read or not yet taken. */
const HELD_MAX = 8 * MiB;

interface Waiting {
  readonly length: number;
  readonly start: () => void;
}

export function connectionReplies(options: RepliesOptions): Replies {
  const { slabs, send, hasRoom, onProgress } = options;
  const queue = replyQueue({ slabs, send, onSent: wake });
  const writer = xdrWriter();
  const waiting: Waiting[] = [];
  const onIdle: (() => void)[] = [];
  let running = 0;
  let runningLength = 0;
  let readLength = 0;
  let isTurnComing = false;

  const held = (): number => queue.unsent + readLength;

  function wake(): void {
    startWaiting();
    if (running === 0 && queue.unsent === 0) for (const resolve of onIdle.splice(0)) resolve();
    onProgress();
  }
  /** Replies of one turn of the event loop go out together. */
  function wakeSoon(): void {
    if (isTurnComing) return;
    isTurnComing = true;
    setImmediate(() => {
      isTurnComing = false;
      queue.flush();
      wake();
    });
  }
  function startWaiting(): void {
    for (let next = waiting[0]; next; next = waiting[0]) {
      const isAlone = readLength === 0 && queue.unsent === 0;
      if (!isAlone && (held() + next.length > HELD_MAX || !hasRoom(next.length))) return;
      waiting.shift();
      next.start();
    }
  }
  function run(work: Promise<void>, fail: (cause: unknown) => void, end: () => void): void {
    void work.catch(fail).then(() => {
      running--;
      end();
      wakeSoon();
    });
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
        running++;
        runningLength += length;
        run(work(), failed, () => (runningLength -= length));
      },
      laterInTurn(length, work) {
        running++;
        const begin = (): void => {
          readLength += length;
          run(work(), failed, () => (readLength -= length));
        };
        waiting.push({ length, start: begin });
        startWaiting();
      },
    };
    return reply;
  };
  return {
    open,
    held,
    isStalled: () =>
      queue.unsent > UNSENT_MAX || running >= RUNNING_MAX || runningLength > RUNNING_LENGTH_MAX,
    isQuiet: () => running === 0,
    flush: () => queue.flush(),
    async idle() {
      queue.flush();
      if (running > 0 || queue.unsent > 0) await new Promise<void>((r) => onIdle.push(r));
    },
    abandon() {
      running -= waiting.splice(0).length;
      for (const resolve of onIdle.splice(0)) resolve();
    },
  };
}
