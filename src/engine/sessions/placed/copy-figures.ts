import type { DiskMove } from '../../../hypervisors/base/run-driver.ts';
import type { Clock } from '../../../sys/base/clock.ts';

/** How far the copy of a disk is. */
export interface CopyFigures {
  /** In bytes; both grow while the guest writes. */
  readonly done: number;
  readonly total: number;
  /** In bytes per second, over the last seconds; undefined: not known yet. */
  readonly rate: number | undefined;
}

interface Sample {
  readonly atMs: number;
  readonly done: number;
}

/** A rate over less would jump. */
const WINDOW_MS = 10_000;

/** Remembers what was seen of copies, for as long as the process runs. */
export function copyFigures(clock: Pick<Clock, 'monotonicMs'>) {
  const samples = new Map<string, Sample[]>();
  const totals = new Map<string, number>();
  return {
    seen(moves: Readonly<Record<string, DiskMove>>): void {
      const atMs = clock.monotonicMs();
      for (const [disk, move] of Object.entries(moves)) {
        if (move.state === 'source' || move.state === 'waiting') {
          samples.delete(disk);
          continue;
        }
        const total = move.state === 'copying' ? move.total : (totals.get(disk) ?? 0);
        const done = move.state === 'copying' ? move.done : total;
        totals.set(disk, total);
        const before = samples.get(disk) ?? [];
        const first = before.findLastIndex((it) => atMs - it.atMs >= WINDOW_MS);
        samples.set(disk, [...before.slice(Math.max(0, first)), { atMs, done }]);
      }
    },
    /** Undefined: no copy was seen since the process began. */
    of(disk: string): CopyFigures | undefined {
      const seen = samples.get(disk);
      const [first, last] = [seen?.[0], seen?.at(-1)];
      if (!first || !last) return undefined;
      const passedMs = last.atMs - first.atMs;
      const rate = passedMs > 0 ? ((last.done - first.done) * 1000) / passedMs : undefined;
      return { done: last.done, total: totals.get(disk) ?? 0, rate };
    },
  };
}
