import type { ByteStream } from '../../sys/net/network.ts';
import { crowd } from './connection-limits.ts';

/**
 * Where connections come in. Those that come while it is held wait, unread, instead of being answered as if what
 * they look for were no more: whoever listens has begun, and what is to be shown is on its way.
 */
export interface Entrance {
  /** Welcomes it, now or once `open` is called. Where too many wait, those that came first are ended. */
  pass(stream: ByteStream, welcome: Welcome): void;
  hold(): void;
  open(): void;
  /** Ends those that wait, and those that still come. */
  close(): void;
}

type Welcome = (stream: ByteStream) => void;

/** Open from the start. */
export function entrance(): Entrance {
  const room = crowd({ yields: 'always' });
  const waiting = new Map<ByteStream, () => void>();
  let isHeld = false;
  let isClosed = false;
  return {
    pass(stream, welcome) {
      if (isClosed) return stream.destroy();
      if (!isHeld) return welcome(stream);
      const place = room.enter(stream);
      if (!place) return stream.destroy();
      waiting.set(stream, () => {
        place.leave();
        welcome(stream);
      });
      stream.onClose = () => {
        place.leave();
        waiting.delete(stream);
      };
    },
    hold() {
      isHeld = true;
    },
    open() {
      isHeld = false;
      for (const [stream, go] of waiting) {
        waiting.delete(stream);
        go();
      }
    },
    close() {
      isClosed = true;
      for (const stream of waiting.keys()) stream.destroy();
    },
  };
}
