import { type Clock, systemClock } from '../../src/sys/base/clock.ts';
import type { FileSystem } from '../../src/sys/files/file-system.ts';

/** A host with the clocks of a real one, and the time that passes in truth. */
export interface HostTime {
  /** What has passed in truth since the host was made. */
  readonly trueMs: () => number;
  readonly clock: Clock;
  /** The same files, with the host's boots. */
  files(files: FileSystem): FileSystem;
  /** The host runs; its oscillator is faster by that part. */
  run(ms: number, drift?: number): void;
  /** The wall clock is set. */
  step(ms: number): void;
  /** The host is off; then the clock of its hardware is wrong by that much more. */
  off(ms: number, wrongMs?: number): void;
}

export function hostTime(start: string): HostTime {
  let trueMs = 0;
  let wallMs = Date.parse(start);
  let bootMs = 0;
  let boot = 1;
  return {
    trueMs: () => trueMs,
    clock: {
      ...systemClock(),
      now: () => new Date(Math.round(wallMs)),
      sinceBootMs: () => Math.round(bootMs),
    },
    files: (files) => ({ ...files, bootId: async () => `boot-${boot}` }),
    run(ms, drift = 0) {
      trueMs += ms;
      wallMs += ms;
      bootMs += ms * (1 + drift);
    },
    step: (ms) => void (wallMs = Math.max(0, wallMs + ms)),
    off(ms, wrongMs = 0) {
      trueMs += ms;
      wallMs = Math.max(0, wallMs + ms + wrongMs);
      bootMs = 0;
      boot += 1;
    },
  };
}
