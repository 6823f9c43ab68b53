import { type LogPosition, PLACE_LENGTH } from '../../formats/store/sessions/overlay-log.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { Random } from '../../sys/base/random.ts';
import type { Cleaner } from './cleaning/clean.ts';
import { appendRecord, type LogFlush } from './log/log-flush.ts';
import { putSummary } from './recover.ts';
import type { Segment, Segments } from './segments/segments.ts';
import type { LogParts } from './log/log-parts.ts';

/** What follows flushes, without a caller that waits. */
export interface Upkeep {
  /** A flush has succeeded. */
  begin(): void;
  /** Resolves once nothing of it is under way. */
  idle(): Promise<void>;
  close(): Promise<void>;
  /** Why something of it failed the last time; it is tried again after the next flush. */
  readonly trouble: unknown;
}

/** A tail of a segment that is given back, if it is longer. */
const TAIL_MIN = 64 * 1024;

/** What a round copies makes space in the third one after it, once it is flushed, freed and gone; and some to spare. */
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

  /** A flush made durable that these may go. What a power cut brings back of them goes when the log is opened. */
  async function vanish(segment: Segment): Promise<void> {
    const { number } = segment;
    await segments.remove(segment);
    const path = log.summaryPath(number);
    if (await log.files.stat(path)) await log.files.unlink(path);
    await log.files.unlink(log.segmentPath(number));
  }
  /** Segments that are wholly durable get a summary, the oldest first. */
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
  /** One that was left early has space that it does not need; its second preface stays. */
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
    const { sealed } = head;
    // Those who wait for space do not flush.
    if (clean.isHurried) await flush().flush();
    // What that flush, or another one, asked for by now is done below.
    isAsked = false;
    for (const segment of flush().takeFreed()) await vanish(segment);
    await flush().free();
    await summarize();
    await clean.run();
    // What it appended frees something once that is flushed.
    if (clean.isHurried && head.sealed > sealed && gains.goOn(placesUsed(segments))) isAsked = true;
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
  /** Once nothing has been written for a while; a flush that comes in the meantime is waited for as well. */
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

interface Gains {
  /** Whether rounds that leave so many places in use are worth another one. */
  goOn(used: number): boolean;
}

/** Where nothing but records could be copied again and again, a full disk would be cleaned for ever. */
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
