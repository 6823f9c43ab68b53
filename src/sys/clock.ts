/** Time, so that tests can turn it themselves. */
export interface Clock {
  now(): Date;
  /** Milliseconds since some fixed moment; never goes back. */
  monotonicMs(): number;
  /** Rejects with the signal's reason when that comes first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
