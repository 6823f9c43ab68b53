import type { VoidPlaces } from '../../formats/store/sessions/overlay-bodies.ts';
import { PLACE_LENGTH } from '../../formats/store/sessions/overlay-log.ts';
import type { RangeTurns } from '../../lib/range-lock.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { Random } from '../../sys/base/random.ts';
import type { WriteDone } from '../block-device.ts';
import type { SpaceGuard } from '../space-guard.ts';
import { bearSegment } from './segments/birth.ts';
import { cleaner } from './cleaning/clean.ts';
import type { LogFiles } from './segments/log-files.ts';
import { foreseenFlush } from './log/foreseen-flush.ts';
import { appendRecord, logFlush } from './log/log-flush.ts';
import { logHead, type LogLimits } from './log/log-head.ts';
import type { LogReads } from './log/log-reads.ts';
import { logWrites } from './log/log-writes.ts';
import type { PageLocations } from './map/page-locations.ts';
import { LOG_START } from './segments/positions.ts';
import { crowded, type Segments } from './segments/segments.ts';
import { unmappedPages } from './log/unmapped.ts';
import { upkeep } from './upkeep.ts';

export interface SealedLogOptions {
  readonly log: LogFiles;
  readonly segments: Segments;
  readonly map: PageLocations;
  readonly reads: LogReads;
  readonly turns: RangeTurns;
  readonly clock: Clock;
  readonly random: Random;
  readonly space: SpaceGuard;
  readonly limits: LogLimits;
  readonly size: number;
  /** The next number, which no file has yet. */
  readonly nextNumber: number;
  /** Void places of earlier segments that no record names yet. */
  readonly voids: readonly VoidPlaces[];
  readonly begun: () => Promise<void> | undefined;
  readonly onDamage: (where: string, what: string) => void;
}

/** Segments reserved from guests: the cleaner needs some to make room, and each opening begins some. */
const SPARE_SEGMENTS = 64;

function isCrowded({ segments, limits }: Pick<SealedLogOptions, 'segments' | 'limits'>): boolean {
  return segments.count >= limits.segmentsMax - SPARE_SEGMENTS;
}

export type SealedLog = Awaited<ReturnType<typeof sealedLog>>;

/** The changing part of an overlay: appends to its log, flushes it and cleans up after it. */
export async function sealedLog(options: SealedLogOptions) {
  const { log, segments, clock, limits } = options;
  let { nextNumber } = options;
  const head = logHead({
    ...options,
    places: log.head.places,
    bear: (durable, allocate) =>
      bearSegment(options, { number: nextNumber++, durable, allocate, max: limits.segmentsMax }),
    refusal: () => (isCrowded(options) ? crowded(log, segments.count) : undefined),
    onShort: hurry,
    flush: () => flush.flush(),
  });
  const parts = { ...options, head, unmapped: unmappedPages() };
  const clean = cleaner(parts);
  const tasks = upkeep(
    { ...parts, clock },
    { flush: () => flush, markAfterMs: limits.markAfterMs, clean },
  );
  const flush = logFlush(parts, () => tasks.begin());
  const writes = logWrites({ ...parts, shortOfSpace: hurry });
  const guests = foreseenFlush(flush.flush);
  const flushAt = Math.floor(limits.unprovenMax / PLACE_LENGTH);

  // All that recovery found is durable: the first list says so, and so does every slot after it.
  head.durable = { segment: nextNumber, place: LOG_START.place };
  await head.more('record');
  head.durable = head.position();
  // Until the first flush, only summaries name these places.
  head.voids.push(...options.voids);

  function hurry(): void {
    clean.hurry();
    tasks.begin();
  }
  /** A flush without a caller: if it fails, it fails again for the next caller. */
  function flushIfLong(): void {
    if (head.sealed - head.proven >= flushAt) flush.flush().catch(() => {});
  }
  return {
    flush: guests.flush,
    head,
    tasks,
    clean,
    tryWrite(from: Uint8Array, offset: number, done: WriteDone): boolean {
      flush.check();
      const isTaken = writes.tryWrite(from, offset, (failure) => {
        done(failure);
        guests.ended();
      });
      if (!isTaken) return false;
      guests.begun();
      flushIfLong();
      return true;
    },
    async write(from: Uint8Array, offset: number): Promise<void> {
      flush.check();
      const written = writes.write(from, offset);
      guests.begun();
      flushIfLong();
      await written.finally(guests.ended);
    },
    async zero(offset: number, length: number): Promise<void> {
      flush.check();
      const zeroed = writes.zero(offset, length);
      guests.begun();
      await zeroed.finally(guests.ended);
      flushIfLong();
      if (clean.isHurried) tasks.begin();
    },
    /** Makes all writes durable, and the log says so. */
    async close(): Promise<void> {
      try {
        await flush.flush();
        clean.close();
        await tasks.close();
        await finish();
      } finally {
        await tasks.close();
        await head.close();
      }
    },
  };

  async function finish(): Promise<void> {
    const { current } = head;
    if (!current) return;
    await appendRecord(head, 'mark');
    await segments.use(current, (file) => file.sync());
  }
}
