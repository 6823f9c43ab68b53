import { assert } from '../../lib/assert.ts';
import { KiB, MiB } from '../../lib/sizes.ts';

/**
 * Replies of one connection on their way out. They are written side by side into slabs that are reused; a slab is
 * sent when it is full enough or further replies are not expected, and only one is under way at a time, so that
 * others fill in the meantime. A connection without replies has no slab.
 */
export interface ReplyQueue {
  /** Reserves room for a reply in `bytes` and `view`, and returns its offset there. */
  reserve(length: number): number;
  /** Turns the last reservation into a reply. Without this it has no effect. */
  commit(length: number): void;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Sends the queue as soon as no other slab is under way. */
  flush(): void;
  /** Bytes that the peer has not read yet. */
  readonly unsent: number;
}

/**
 * Slabs for all connections of a server. Fresh memory for each reply would cost more, in page faults and garbage
 * collections, than everything else together.
 */
export interface SlabPool {
  take(length: number): Slab;
  /** The slab must not be used afterwards. */
  give(slab: Slab): void;
  /** Frees the memory, when no client is connected. */
  clear(): void;
}

export interface ReplyQueueOptions {
  readonly slabs: SlabPool;
  /** As `ByteStream.write`. */
  readonly send: (bytes: Uint8Array, sent: () => void) => void;
  /** Called when something was sent: `unsent` has decreased. */
  readonly onSent: () => void;
}

const SLAB_LENGTH = 256 * KiB;
/** With more than this the peer can begin to read while further replies are written. */
const FLUSH_LENGTH = 64 * KiB;
/** For the usual largest request; a larger reply gets memory of its own. */
const LARGE_SLAB_LENGTH = MiB + 512;
/** The slabs under way of a busy connection, or of several less busy ones. */
const SPARE_MAX = 8;
const SPARE_LARGE_MAX = 4;

interface Slab {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  used: number;
}

export function slabPool(): SlabPool {
  const spare: Slab[] = [];
  const spareLarge: Slab[] = [];

  return {
    take(length) {
      if (length <= SLAB_LENGTH) return spare.pop() ?? newSlab(SLAB_LENGTH);
      if (length <= LARGE_SLAB_LENGTH) return spareLarge.pop() ?? newSlab(LARGE_SLAB_LENGTH);
      return newSlab(length);
    },
    give(slab) {
      slab.used = 0;
      const { length } = slab.bytes;
      if (length === SLAB_LENGTH && spare.length < SPARE_MAX) spare.push(slab);
      if (length === LARGE_SLAB_LENGTH && spareLarge.length < SPARE_LARGE_MAX) {
        spareLarge.push(slab);
      }
    },
    clear() {
      spare.length = 0;
      spareLarge.length = 0;
    },
  };
}

export function replyQueue({ slabs, send, onSent }: ReplyQueueOptions): ReplyQueue {
  const full: Slab[] = [];
  let current: Slab | undefined;
  let underWay: Slab | undefined;
  let unsent = 0;

  function reserved(): Slab {
    assert(current, 'a reply without room');
    return current;
  }
  function sendNext(): void {
    if (underWay) return;
    let next = full.shift();
    if (!next && current && current.used > 0) {
      next = current;
      current = undefined;
    }
    if (!next) return;
    const slab = (underWay = next);
    send(slab.bytes.subarray(0, slab.used), () => {
      unsent -= slab.used;
      underWay = undefined;
      slabs.give(slab);
      sendNext();
      onSent();
    });
  }
  return {
    get bytes() {
      return reserved().bytes;
    },
    get view() {
      return reserved().view;
    },
    get unsent() {
      return unsent;
    },
    reserve(length) {
      if (current && current.used + length > current.bytes.length) {
        if (current.used > 0) full.push(current);
        else slabs.give(current);
        current = undefined;
        sendNext();
      }
      current ??= slabs.take(length);
      return current.used;
    },
    commit(length) {
      const slab = reserved();
      slab.used += length;
      unsent += length;
      if (slab.used >= FLUSH_LENGTH) sendNext();
    },
    flush: sendNext,
  };
}

function newSlab(length: number): Slab {
  const bytes = new Uint8Array(length);
  return { bytes, view: new DataView(bytes.buffer), used: 0 };
}
