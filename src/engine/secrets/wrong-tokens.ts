import type { Clock } from '../../sys/base/clock.ts';
import { peerNetwork } from '../../sys/net/networks.ts';

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
const WAIT_MS = 250;
const WAIT_MS_MAX = 8000;
/** The time after which the count of a host starts again, regardless of which of its IPv6 addresses it uses. */
const FORGET_MS = 600_000;
const ADDRESSES_MAX = 10_000;

export function wrongTokens(clock: Clock, note: (words: string) => Promise<void>): WrongTokens {
  const tries = new Map<string, { count: number; atMs: number }>();
  const closing = new AbortController();
  let untold = { count: 0, address: '' };
  let telling: Promise<void> | undefined;

  function counted(address: string): number {
    const nowMs = clock.monotonicMs();
    const host = peerNetwork(address);
    const known = tries.get(host);
    const count = known && nowMs - known.atMs < FORGET_MS ? known.count + 1 : 1;
    tries.delete(host);
    tries.set(host, { count, atMs: nowMs });
    // Removes the one that was quiet for longest.
    if (tries.size > ADDRESSES_MAX) tries.delete(tries.keys().next().value!);
    return count;
  }
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
      const waitMs = Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** (counted(address) - 1));
      await clock.sleep(waitMs, AbortSignal.any([signal, closing.signal])).catch(() => {});
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await telling;
    },
  };
}
