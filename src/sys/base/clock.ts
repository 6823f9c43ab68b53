import { uptime } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** Time, injected so that tests can set it. */
export interface Clock {
  now(): Date;
  /** Milliseconds since some fixed moment; never goes back. */
  monotonicMs(): number;
  /** Milliseconds since the machine was started, including time asleep. It cannot be set. */
  sinceBootMs(): number;
  /** Rejects with the signal's reason if the signal comes first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export function systemClock(): Clock {
  return {
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    sinceBootMs: () => Math.round(uptime() * 1000),
    sleep: (ms, signal) => sleep(ms, undefined, signal ? { signal } : {}),
  };
}
