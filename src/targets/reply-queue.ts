import { KiB, MiB } from '../lib/sizes.ts';

/**
 * Replies of one connection on their way out. They are written side by side into slabs that are used
 * over and over; a slab goes out when it holds enough or nothing more is to be had, and only one is
 * under way at a time, so that the others fill meanwhile. Fresh memory for each reply would cost more
 * in garbage collections than everything else together.
 */
export interface ReplyQueue {
  /** Makes room for a reply; then `bytes` and `view` are the memory, and it begins at the answer. */
  reserve(length: number): number;
  /** What was reserved last is a reply now. Without this it never was. */
  commit(length: number): void;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Sends what there is, as soon as nothing else is under way. */
  flush(): void;
  /** Bytes that the peer has not taken yet. */
  readonly unsent: number;
}

export interface ReplyQueueOptions {
  /** As `ByteStream.write`. */
  readonly send: (bytes: Uint8Array, sent: () => void) => void;
  /** Something was sent: `unsent` is less than it was. */
  readonly onSent: () => void;
}

const SLAB_LENGTH = 256 * KiB;
/** With more than this a peer can begin to read while we go on. */
const FLUSH_LENGTH = 64 * KiB;
/** For the usual largest request; what is larger gets memory of its own. */
const LARGE_SLAB_LENGTH = MiB + 512;
const SPARE_MAX = 4;

interface Slab {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  used: number;
}

export function replyQueue({ send, onSent }: ReplyQueueOptions): ReplyQueue {
  const spare: Slab[] = [];
  const spareLarge: Slab[] = [];
  const full: Slab[] = [];
  let current = newSlab(SLAB_LENGTH);
  let underWay: Slab | undefined;
  let unsent = 0;

  function take(length: number): Slab {
    if (length <= SLAB_LENGTH) return spare.pop() ?? newSlab(SLAB_LENGTH);
    if (length <= LARGE_SLAB_LENGTH) return spareLarge.pop() ?? newSlab(LARGE_SLAB_LENGTH);
    return newSlab(length);
  }
  function giveBack(slab: Slab): void {
    slab.used = 0;
    const list = slab.bytes.length === SLAB_LENGTH ? spare : spareLarge;
    const reusable = slab.bytes.length <= LARGE_SLAB_LENGTH;
    if (reusable && list.length < SPARE_MAX) list.push(slab);
  }
  function sendNext(): void {
    if (underWay) return;
    let next = full.shift();
    if (!next && current.used > 0) {
      next = current;
      current = take(SLAB_LENGTH);
    }
    if (!next) return;
    const slab = (underWay = next);
    send(slab.bytes.subarray(0, slab.used), () => {
      unsent -= slab.used;
      underWay = undefined;
      giveBack(slab);
      sendNext();
      onSent();
    });
  }
  return {
    get bytes() {
      return current.bytes;
    },
    get view() {
      return current.view;
    },
    get unsent() {
      return unsent;
    },
    reserve(length) {
      if (current.used + length > current.bytes.length) {
        if (current.used > 0) full.push(current);
        else giveBack(current);
        current = take(length);
        sendNext();
      }
      return current.used;
    },
    commit(length) {
      current.used += length;
      unsent += length;
      if (current.used >= FLUSH_LENGTH) sendNext();
    },
    flush: sendNext,
  };
}

function newSlab(length: number): Slab {
  const bytes = new Uint8Array(length);
  return { bytes, view: new DataView(bytes.buffer), used: 0 };
}
