import { FormatError } from '../../../formats/format-error.ts';
import { RECORD_COPIES } from '../../../formats/store/sessions/overlay-bodies.ts';
import type { PlaceTable } from '../../../formats/store/sessions/overlay-summary.ts';
import { PAGE_LENGTH } from '../../../formats/store/sessions/overlay-log.ts';
import { turnOfLoop } from '../../../lib/turn-of-loop.ts';
import { copiedPages } from './copied-pages.ts';
import { copiedRecords } from './copied-records.ts';
import type { Segment } from '../segments/segments.ts';
import { readSummary } from '../segments/survey.ts';
import type { CleanerOptions } from './cleaner-options.ts';

/**
 * Copies live slots out of segments that have few of them, so that these segments die like any other. Considers how
 * much is dead, in all finished segments; the one with the least live data comes first.
 */
export interface Cleaner {
  /**
   * Works until the dead data is within its bounds, or all present segments have been considered; while space is
   * short, a few segments at a time. Resolves with whether it has to be called again after a flush.
   */
  run(): Promise<boolean>;
  /** Space is short: until it no longer is, cleaning pays for much smaller gains. */
  hurry(): void;
  readonly isHurried: boolean;
  /** Number of pages copied. */
  readonly copied: number;
  close(): void;
}

/** While space is short, dead data may be at most this fraction of live data. */
const SHORT_PART = 1 / 8;
/** A segment with at most this fraction of records is always worth cleaning. */
const CHEAP_PART = 1 / 16;
/** Looking through so few segments takes no time. */
const FEW_SEGMENTS = 64;
/**
 * While space is short, so many segments are filled with copies before these give space back: with fewer, the records
 * of each new segment would take what it gains.
 */
const COPIED_SEGMENTS = 3;
/** With this many segments free, space is no longer short. */
const ENOUGH_SEGMENTS = 4;

export function cleaner(options: CleanerOptions): Cleaner {
  const { log, segments, head, space, limits } = options;
  const { places } = log.head;
  const pages = copiedPages(options);
  const records = copiedRecords(options);
  let isHurried = false;
  let lookedAt = 0;
  let isClosed = false;

  /** Segments that get no further slots, and that are neither freed, damaged nor empty. */
  function finished(): Segment[] {
    const { segment: before } = head.durable;
    return [...segments.all()].filter(
      (it) =>
        it.number < before &&
        !head.isOpen(it) &&
        !it.isFreed &&
        !it.isDamaged &&
        (it.live > 0 || it.records > 0),
    );
  }
  function victims(): Segment[] {
    const all = finished();
    const used = all.reduce((sum, it) => sum + it.used, 0);
    const live = all.reduce((sum, it) => sum + it.live, 0);
    const dead = (used - live) * PAGE_LENGTH;
    const bound = isHurried
      ? live * PAGE_LENGTH * SHORT_PART
      : Math.max(limits.deadMax, live * PAGE_LENGTH);
    if (dead <= bound) return all.filter(isCheap);
    return all.filter((it) => it.live < it.used).sort((a, b) => a.live - b.live);
  }
  /** Whether only a few records keep it alive. */
  function isCheap({ live, records }: Segment): boolean {
    return live === 0 && records <= Math.max(RECORD_COPIES, places * CHEAP_PART);
  }
  /** Whether segments that are dead have yet to give their space back. */
  function isFreeing(): boolean {
    const { segment: before } = head.durable;
    for (const { number, live, records } of segments.empty) {
      if (number < before && live === 0 && records === 0) return true;
    }
    return false;
  }
  async function look(): Promise<void> {
    const enough = ENOUGH_SEGMENTS * places * PAGE_LENGTH;
    if (isHurried && (await space.left()) >= enough) isHurried = false;
  }
  async function clean(segment: Segment): Promise<void> {
    const table = segment.table ?? (await tableOf(segment));
    if (!table) {
      segment.isDamaged = true;
      return;
    }
    await pages.copy(segment, table);
    if (segment.isDamaged || segment.records === 0) return;
    await records.copy(segment, table);
    // A record that could not be read stays where it is, with its segment.
    if (!segment.isDamaged) segment.records = 0;
  }
  async function tableOf(segment: Segment): Promise<PlaceTable | undefined> {
    const table = await readSummary(log, segment);
    return table instanceof FormatError ? undefined : table;
  }
  return {
    async run() {
      await look();
      // With many segments, cleaning does not run after each flush.
      const isNews = head.sealed - lookedAt >= places / 8 || segments.count < FEW_SEGMENTS;
      if (!isHurried && !isNews) return false;
      // Copies take space first: more of them could fill the disk so that not even this record could be written.
      if (isHurried && isFreeing()) return true;
      lookedAt = head.sealed;
      const { sealed } = head;
      const last = head.durable.segment;
      const seen = new Set<Segment>();
      for (;;) {
        const victim = victims().find((it) => it.number < last && !seen.has(it));
        const isEnough = isHurried && head.sealed - sealed >= COPIED_SEGMENTS * places;
        if (!victim || isEnough || isClosed) return head.sealed > sealed;
        seen.add(victim);
        await clean(victim);
        await turnOfLoop();
      }
    },
    hurry: () => void (isHurried = true),
    get isHurried() {
      return isHurried;
    },
    get copied() {
      return pages.copied;
    },
    close: () => void (isClosed = true),
  };
}
