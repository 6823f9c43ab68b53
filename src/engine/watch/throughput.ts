import { ticker } from '../../sys/base/ticker.ts';
import type { Report } from '../../operations/events.ts';
import type { Throughput, ThroughputRates } from '../../operations/nouns/service.ts';
import type { Clock } from '../../sys/base/clock.ts';

/* Throughput now and in the last hour: reads and writes of guests, and reads of backups. */

export interface ThroughputRecorder extends AsyncDisposable {
  /** The last hour in `points` parts of equal length; parts before the start of the service are left out. */
  show(points: number): Throughput;
}

/** Bytes since a fixed time: they only grow. */
export type Totals = ThroughputRates;

const SAMPLE_MS = 5000;
/** An hour: some 40 KiB of memory. */
const SAMPLES_MAX = 720;

const NONE: ThroughputRates = { readBytes: 0, writtenBytes: 0, ingestBytes: 0 };

export function recordThroughput(clock: Clock, totals: () => Totals): ThroughputRecorder {
  /** Bytes a second, the newest last. */
  const samples: ThroughputRates[] = [];
  let taken = 0;
  let last = { totals: totals(), atMs: clock.monotonicMs() };

  function sample(): void {
    const now = { totals: totals(), atMs: clock.monotonicMs() };
    const seconds = (now.atMs - last.atMs) / 1000;
    if (seconds <= 0) return;
    samples.push(rates((name) => Math.max(0, now.totals[name] - last.totals[name]) / seconds));
    taken++;
    if (samples.length > SAMPLES_MAX) samples.shift();
    last = now;
  }
  const ticks = ticker(clock, () => {
    sample();
    return SAMPLE_MS;
  });
  ticks.start();
  return {
    show(points) {
      const each = Math.ceil(SAMPLES_MAX / points);
      const parts: ThroughputRates[] = [];
      // Parts begin at fixed times: otherwise the whole graph would change with each sample, not only its newest
      // part.
      let start = samples.length - (((taken - 1) % each) + 1);
      for (let end = samples.length; end > 0; end = start, start -= each) {
        parts.unshift(mean(samples.slice(Math.max(0, start), end)));
      }
      return { seconds: (each * SAMPLE_MS) / 1000, now: samples.at(-1) ?? NONE, points: parts };
    },
    [Symbol.asyncDispose]: () => ticks[Symbol.asyncDispose](),
  };
}

function mean(samples: readonly ThroughputRates[]): ThroughputRates {
  return rates((name) => samples.reduce((sum, it) => sum + it[name], 0) / samples.length);
}

function rates(of: (name: keyof ThroughputRates) => number): ThroughputRates {
  const whole = (name: keyof ThroughputRates): number => Math.round(of(name));
  return {
    readBytes: whole('readBytes'),
    writtenBytes: whole('writtenBytes'),
    ingestBytes: whole('ingestBytes'),
  };
}

/** Counts the bytes that backups read, from their reports. */
export interface IngestMeter {
  /** Counts the reports of one backup, and passes them on. */
  heard(report: Report): Report;
  readonly totalBytes: number;
}

export function ingestMeter(): IngestMeter {
  let totalBytes = 0;
  return {
    heard(report) {
      let before = 0;
      return (event) => {
        if (event.event === 'progress' && event.readBytes !== undefined) {
          totalBytes += Math.max(0, event.readBytes - before);
          before = event.readBytes;
        }
        report(event);
      };
    },
    get totalBytes() {
      return totalBytes;
    },
  };
}
