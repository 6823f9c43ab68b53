import { assert } from '../../lib/assert.ts';
import { type BufferPool, bufferPool } from '../../lib/buffer-pool.ts';
import { MiB } from '../../lib/sizes.ts';
import { REPLY_HEADER_LENGTH } from '../../formats/wire/fuse.ts';

/** The reply to one request. It is sent exactly once. */
export interface Reply {
  /** Room for `length` bytes after the header; old contents are not cleared. */
  room(length: number): Uint8Array;
  /** The same memory. */
  view(length: number): DataView;
  /** Sends the first `length` bytes of the room. */
  send(length: number): void;
  fail(errno: number): void;
  /**
   * Answers later, from memory of its own: sends the bytes that `work` leaves in `room`, as many as `work` resolves
   * with. If it rejects, `errnoOf` gives the errno.
   */
  later(length: number, work: (room: Uint8Array) => Promise<number>): void;
}

export interface Replies {
  /** The reply to a request; the same object for all, valid until the next call. */
  to(request: { readonly unique: number; readonly uniqueBytes: Uint8Array }): Reply;
  /** Bytes reserved for pending answers. */
  readonly pendingBytes: number;
  readonly pending: number;
  /** Answers a request under way in place of its work. */
  interrupt(unique: number, errno: number): void;
  /** Resolves once no request is under way. */
  settled(): Promise<void>;
}

/** The largest answer: a megabyte read. */
export const ROOM_MAX = MiB;
/** Spare buffers of each size, for answers that come later. */
const SPARE_BUFFERS = 16;

export interface RepliesOptions {
  send(reply: Uint8Array, body?: Uint8Array): void;
  /** The errno for an error of a request's work; rethrows bugs of our own. */
  errnoOf(cause: unknown): number;
  /** Called when a late answer was sent: there may be room again. */
  onSettled(): void;
  /** Called for a bug of our own in work under way. */
  onBug(cause: unknown): void;
}

export function fuseReplies(options: RepliesOptions): Replies {
  const { send, errnoOf, onSettled, onBug } = options;
  const slab = new Uint8Array(REPLY_HEADER_LENGTH + ROOM_MAX);
  const slabView = new DataView(slab.buffer);
  const pool: BufferPool = bufferPool(SPARE_BUFFERS, ROOM_MAX);
  /** Requests under way, by unique. */
  const running = new Map<number, Later>();
  let pendingBytes = 0;
  let whenSettled: (() => void)[] = [];

  const now = {
    unique: 0,
    answered: true as boolean,
    room: (length: number) => slab.subarray(REPLY_HEADER_LENGTH, REPLY_HEADER_LENGTH + length),
    view: (length: number) => new DataView(slab.buffer, REPLY_HEADER_LENGTH, length),
    send(length: number) {
      finish();
      slabView.setUint32(0, REPLY_HEADER_LENGTH + length, true);
      slabView.setInt32(4, 0, true);
      send(slab.subarray(0, REPLY_HEADER_LENGTH + length));
    },
    fail(errno: number) {
      finish();
      slabView.setUint32(0, REPLY_HEADER_LENGTH, true);
      slabView.setInt32(4, -errno, true);
      send(slab.subarray(0, REPLY_HEADER_LENGTH));
    },
    later(length: number, work: (room: Uint8Array) => Promise<number>) {
      finish();
      const bytes = pool.take(length);
      const header = slab.slice(0, REPLY_HEADER_LENGTH);
      const it: Later = { header, bytes, isAnswered: false };
      running.set(now.unique, it);
      pendingBytes += bytes.length;
      void run(now.unique, it, work);
    },
  } satisfies Reply & { unique: number; answered: boolean };

  function finish(): void {
    assert(!now.answered, 'a FUSE request is answered twice');
    now.answered = true;
  }
  async function run(
    unique: number,
    it: Later,
    work: (room: Uint8Array) => Promise<number>,
  ): Promise<void> {
    try {
      const length = await work(it.bytes);
      answer(it, 0, length);
    } catch (cause) {
      try {
        answer(it, errnoOf(cause), 0);
      } catch (bug) {
        onBug(bug);
      }
    } finally {
      running.delete(unique);
      pendingBytes -= it.bytes.length;
      pool.give(it.bytes);
      onSettled();
      if (running.size === 0) for (const resolve of whenSettled.splice(0)) resolve();
    }
  }
  function answer(it: Later, errno: number, length: number): void {
    if (it.isAnswered) return;
    it.isAnswered = true;
    const { header, bytes } = it;
    const view = new DataView(header.buffer);
    const sent = errno === 0 ? length : 0;
    view.setUint32(0, REPLY_HEADER_LENGTH + sent, true);
    view.setInt32(4, -errno, true);
    if (sent === 0) send(header);
    else send(header, bytes.subarray(0, sent));
  }
  return {
    to({ unique, uniqueBytes }) {
      now.unique = unique;
      now.answered = false;
      slab.set(uniqueBytes, 8);
      return now;
    },
    get pendingBytes() {
      return pendingBytes;
    },
    get pending() {
      return running.size;
    },
    interrupt(unique, errno) {
      const it = running.get(unique);
      if (it) answer(it, errno, 0);
    },
    async settled() {
      if (running.size > 0) await new Promise<void>((resolve) => whenSettled.push(resolve));
    },
  };
}

interface Later {
  readonly header: Uint8Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  isAnswered: boolean;
}
