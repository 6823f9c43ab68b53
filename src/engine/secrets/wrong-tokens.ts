import type { Clock } from '../../sys/base/clock.ts';
import { peerNetwork } from '../../sys/net/networks.ts';
import { growingWaits } from './growing-waits.ts';

/**
 * Clients without a valid token: each waits longer from time to time, and all of them together make few log entries.
 * Disposing writes pending entries.
 */
export interface WrongTokens extends AsyncDisposable {
  /** Resolves when the refusal may be sent. */
  tried(address: string, signal: AbortSignal): Promise<void>;
}

/** The time between two log entries; each gives the number of tries since the last. */
const NOTE_MS = 60_000;

export function wrongTokens(clock: Clock, note: (words: string) => Promise<void>): WrongTokens {
  const waits = growingWaits(clock);
  const closing = new AbortController();
  let untold = { count: 0, address: '' };
  let telling: Promise<void> | undefined;

  /** Runs until a whole period was quiet. */
  async function tell(): Promise<void> {
    while (untold.count > 0) {
      const { count, address } = untold;
      untold = { count: 0, address: '' };
      const times = count === 1 ? 'a request' : `${count} requests`;
      await note(`${times} without a valid token, the last from ${address}`);
      await clock.sleep(NOTE_MS, closing.signal).catch(() => {});
    }
  }
  return {
    async tried(address, signal) {
      untold = { count: untold.count + 1, address };
      telling ??= tell().finally(() => (telling = undefined));
      // A host has one count, whichever of its IPv6 addresses it uses.
      const waitMs = waits.next(peerNetwork(address));
      await clock.sleep(waitMs, AbortSignal.any([signal, closing.signal])).catch(() => {});
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await telling;
    },
  };
}
