import type { ByteStream } from '../../sys/net/network.ts';
import { connectionLimits } from './connection-limits.ts';

/**
 * Accepts connections. On hold, connections wait unread instead of being refused as if their export did not exist:
 * the listener has started, and the exports are about to appear.
 */
export interface AcceptQueue {
  /** Welcomes a connection, now or once `open` is called. If too many wait, the oldest are ended. */
  pass(stream: ByteStream, welcome: Welcome): void;
  hold(): void;
  open(): void;
  /** Ends waiting connections, and all later ones. */
  close(): void;
}

type Welcome = (stream: ByteStream) => void;

/** Accepts connections from the start. */
export function acceptQueue(): AcceptQueue {
  const room = connectionLimits({ yields: 'always' });
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
