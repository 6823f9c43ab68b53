import { type LogPosition, PLACE_LENGTH } from '../../formats/store/sessions/overlay-log.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { Random } from '../../sys/base/random.ts';
import type { Cleaner } from './cleaning/clean.ts';
import { appendRecord, isFull, type LogFlush } from './log/log-flush.ts';
import { putSummary } from './recover.ts';
import type { Segment, Segments } from './segments/segments.ts';
import type { LogParts } from './log/log-parts.ts';

/** Work after flushes, for which no caller waits. */
export interface Upkeep {
  /** Call it when a flush has succeeded. */
  begin(): void;
  /** Resolves once no upkeep is under way. */
  idle(): Promise<void>;
  close(): Promise<void>;
  /** Why the last run failed; it is repeated after the next flush. */
  readonly trouble: unknown;
}

/** The unused end of a segment is freed if it is longer than this. */
const TAIL_MIN = 64 * 1024;

/**
 * A round's copies free space in the third round after it, once they are flushed and the segments freed and gone; the
 * rest is margin.
 */
const GAIN_ROUNDS = 16;

export function upkeep(
  parts: LogParts & { readonly random: Random; readonly clock: Clock },
  {
    flush,
    markAfterMs,
    clean,
  }: {
    readonly flush: () => LogFlush;
    readonly markAfterMs: number;
    readonly clean: Cleaner;
  },
): Upkeep {
  const { log, segments, head, random, clock } = parts;
  const closing = new AbortController();
  let running: Promise<void> | undefined;
  let isAsked = false;
  let marking: Promise<void> | undefined;
  let trouble: unknown;

  /** Removes a segment that is durably freed. If a power cut restores it, opening the log removes it. */
  async function vanish(segment: Segment): Promise<void> {
    const { number } = segment;
    await segments.remove(segment);
    const path = log.summaryPath(number);
    if (await log.files.stat(path)) await log.files.unlink(path);
    await log.files.unlink(log.segmentPath(number));
  }
  /** Writes summaries of segments that are wholly durable, the oldest first. */
  async function summarize(): Promise<void> {
    for (const segment of [...segments.held()].sort((a, b) => a.number - b.number)) {
      const { number, salt, table } = segment;
      if (number >= head.durable.segment || !table || segment.isFreed || head.isOpen(segment)) {
        continue;
      }
      await putSummary(log, { number, salt, table }, random);
      await giveTail(segment);
      segment.table = undefined;
      segments.release(segment);
    }
  }
  /** Frees the unused space of a segment that was abandoned early; its second preface stays. */
  async function giveTail(segment: Segment): Promise<void> {
    const { places } = log.head;
    let place = places - 2;
    while (place > 0 && segment.table?.kindAt(place) === undefined) place--;
    const from = (place + 4) * PLACE_LENGTH;
    const to = (places - 1) * PLACE_LENGTH;
    if (to - from < TAIL_MIN) return;
    await segments.use(segment, (file) => file.punchHole(from, to - from));
  }
  async function round(gains: Gains): Promise<void> {
    // Writes that wait for space do not flush.
    if (clean.isHurried) await flush().flush();
    // The upkeep that flushes have requested by now is done below.
    isAsked = false;
    for (const segment of flush().takeFreed()) await vanish(segment);
    await flush().free();
    // On a full disk they have to wait for what the cleaner gives back.
    await summarize().catch(unlessFull);
    // Its copies free space once they are flushed.
    const isWorking = await clean.run();
    if (clean.isHurried && isWorking && gains.goOn(placesUsed(segments))) isAsked = true;
  }
  async function run(): Promise<void> {
    const gains = gainsOf();
    while (isAsked && !closing.signal.aborted) {
      isAsked = false;
      try {
        await round(gains);
        trouble = undefined;
      } catch (cause) {
        trouble = cause;
      }
    }
  }
  /** Appends a mark once nothing has been written for a while; waits for a flush that begins in the meantime too. */
  async function mark(): Promise<void> {
    let said: LogPosition | undefined;
    try {
      while (said !== head.durable) {
        const { sealed, durable } = head;
        await clock.sleep(markAfterMs, closing.signal);
        if (head.sealed !== sealed || head.durable !== durable) continue;
        await appendRecord(head, 'mark');
        said = durable;
      }
    } catch (cause) {
      trouble = cause;
    }
  }
  return {
    get trouble() {
      return trouble;
    },
    begin() {
      isAsked = true;
      running ??= run().finally(() => (running = undefined));
      marking ??= mark().finally(() => (marking = undefined));
    },
    idle: async () => running,
    async close() {
      closing.abort();
      await running;
      await marking;
    },
  };
}

function unlessFull(cause: unknown): void {
  if (!isFull(cause)) throw cause;
}

interface Gains {
  /** Whether another round is worthwhile after one that left this many places in use. */
  goOn(used: number): boolean;
}

/** Without this, a full disk on which only records are left to copy would be cleaned forever. */
function gainsOf(): Gains {
  let least = Number.POSITIVE_INFINITY;
  let rounds = 0;
  return {
    goOn(used) {
      rounds = used < least ? 0 : rounds + 1;
      least = Math.min(least, used);
      return rounds < GAIN_ROUNDS;
    },
  };
}

function placesUsed(segments: Segments): number {
  let used = 0;
  for (const segment of segments.all()) used += segment.used;
  return used;
}
