import type { ByteStream } from '../sys/network.ts';
import { isFull } from './crowd.ts';

/**
 * Where connections come in. Those that come while it is held wait, unread, instead of being answered as if what
 * they look for were no more: whoever listens has begun, and what is to be shown is on its way.
 */
export interface Entrance {
  /** Welcomes it, now or once `open` is called; ends it where too many wait already. */
  pass(stream: ByteStream, welcome: Welcome): void;
  hold(): void;
  open(): void;
  /** Ends those that wait. */
  close(): void;
}

type Welcome = (stream: ByteStream) => void;

/** Open from the start. */
export function entrance(): Entrance {
  const waiting = new Map<ByteStream, Welcome>();
  let isHeld = false;
  return {
    pass(stream, welcome) {
      if (!isHeld) return welcome(stream);
      if (isFull(waiting.keys(), stream)) return stream.destroy();
      waiting.set(stream, welcome);
      stream.onClose = () => waiting.delete(stream);
    },
    hold() {
      isHeld = true;
    },
    open() {
      isHeld = false;
      for (const [stream, welcome] of waiting) {
        waiting.delete(stream);
        welcome(stream);
      }
    },
    close() {
      for (const stream of waiting.keys()) stream.destroy();
    },
  };
}
