import {
  encodeFreed,
  encodeVoids,
  FREED_MAX,
  VOIDS_MAX,
} from '../../../formats/store/sessions/overlay-bodies.ts';
import {
  type LogPosition,
  PAGE_LENGTH,
  type SlotKind,
} from '../../../formats/store/sessions/overlay-log.ts';
import { SystemError } from '../../../sys/base/system-error.ts';
import { BlockError } from '../../block-error.ts';
import { type FlushRounds, flushRounds } from '../../group-commit.ts';
import type { LogHead, Payer } from './log-head.ts';
import { isBefore } from '../segments/positions.ts';
import { proofOf } from './proof.ts';
import type { Segment } from '../segments/segments.ts';
import type { LogParts } from './log-parts.ts';

/** Segments that a record in the log says may vanish; they do so once it is durable. */
interface Freed {
  readonly segments: readonly Segment[];
}

export interface LogFlush extends FlushRounds {
  /** Appends what a flush leaves to be said: segments that are dead now, as of before the flush that is over. */
  free(): Promise<void>;
  /** Those whose `freed` record is durable, once. */
  takeFreed(): readonly Segment[];
}

const EMPTY = new Uint8Array(PAGE_LENGTH);

/** Appends slots that hold no page, one behind the other in one segment; resolves once they are written. */
export async function appendRecord(
  head: LogHead,
  kind: SlotKind,
  bodies: readonly Uint8Array[] = [EMPTY],
): Promise<void> {
  const payer: Payer = 'record';
  const count = bodies.length;
  while (head.room(payer) < count) await head.more(payer, count);
  const batch = head.take(count, payer);
  for (const body of bodies) head.seal(batch, kind, 0, body);
  await batch.written;
}

/**
 * A flush makes the log durable as far as it goes when the flush begins: one sync of the file that it ends in, mostly.
 * What died before that may be said to be free after it; what a flush made durable that something is free, may vanish.
 * Segments that were begun and died since the last flush are said to be free in this one, and are not synced: guests
 * that write the same pages over and over (journals, swap) do not fill the disk's queue with dead pages.
 */
export function logFlush(parts: LogParts, onFlushed: () => void): LogFlush {
  const { segments, head } = parts;
  let freed: Freed[] = [];
  let vanishing: Segment[] = [];
  /** Nothing in these counted when the last flush began. */
  let dead: readonly Segment[] = [];
  let lost: unknown;
  const rounds = flushRounds(round, () => lost !== undefined);

  async function appendVoids(): Promise<void> {
    while (head.voids.length > 0) {
      const these = head.voids.slice(0, VOIDS_MAX);
      await appendRecord(head, 'voids', encodeVoids(these));
      // What fails in the meantime is at the end.
      head.voids.splice(0, these.length);
    }
  }
  async function round(): Promise<void> {
    const position = head.position();
    const { sealed } = head;
    if (!isBefore(head.durable, position) && head.voids.length === 0) {
      // What has died since is dead by what is durable: on a full disk nothing else may be appended that says so.
      dead = deadSegments(parts, position);
      return;
    }
    head.clearAhead();
    const deadNow = deadSegments(parts, position);
    // No flush has promised anything of these: with their record, they need not become durable any more.
    const unborn = deadNow.filter((it) => it.isUnsynced && it.number > head.durable.segment);
    if (unborn.length > 0) await appendFreed(unborn).catch(() => {});
    await head.settled();
    // Before any slot can say that the log is durable beyond these places.
    await appendVoids();
    const durableFrees = [...freed];
    await makeDurable();
    head.durable = position;
    head.proven = sealed;
    freed = freed.filter((it) => !durableFrees.includes(it));
    vanishing.push(...durableFrees.flatMap((it) => it.segments));
    dead = deadNow;
    onFlushed();
  }
  async function appendFreed(these: readonly Segment[]): Promise<void> {
    for (let at = 0; at < these.length; at += FREED_MAX) {
      const some = these.slice(at, at + FREED_MAX);
      for (const segment of some) segment.isFreed = true;
      try {
        await appendRecord(head, 'freed', encodeFreed(some));
      } catch (cause) {
        for (const segment of some) segment.isFreed = false;
        throw cause;
      }
      freed.push({ segments: some });
    }
  }
  async function makeDurable(): Promise<void> {
    const unsynced = [...segments.held()].filter(
      (it) => !it.isFreed && (it.isUnsynced || it.isDoubted),
    );
    for (const segment of unsynced) segment.isUnsynced = false;
    const ends = await Promise.allSettled(unsynced.map((it) => segments.use(it, (f) => f.sync())));
    const failed = unsynced.filter((_, at) => ends[at]?.status === 'rejected');
    for (const segment of failed) segment.isDoubted = true;
    const doubted = unsynced.filter((it) => it.isDoubted);
    if (doubted.length > 0) await prove(doubted);
  }
  async function prove(doubted: readonly Segment[]): Promise<void> {
    // Not only as far as the flush goes: what was written since may be lost as well.
    const to = head.position();
    await head.settled();
    try {
      await proofOf(parts, doubted, { from: head.durable, to });
    } catch (cause) {
      if (!isFull(cause)) lost = cause;
      throw cause;
    }
    for (const segment of doubted) segment.isDoubted = false;
  }
  return {
    flush: rounds.flush,
    check: rounds.check,
    takeFreed() {
      const these = vanishing;
      vanishing = [];
      return these;
    },
    async free() {
      const these = dead.filter((it) => !it.isFreed);
      dead = [];
      await appendFreed(these);
    },
  };
}

/** Segments that lie wholly before a position and in which nothing counts any more. */
function deadSegments({ segments, head }: LogParts, before: LogPosition): readonly Segment[] {
  return [...segments.empty].filter((segment) => {
    if (segment.live > 0) segments.empty.delete(segment);
    const isFinished = segment.number < before.segment && !head.isOpen(segment);
    return segment.live === 0 && isFinished && segment.records === 0 && !segment.isFreed;
  });
}

export function isFull(cause: unknown): boolean {
  return (cause instanceof SystemError || cause instanceof BlockError) && cause.code === 'NO_SPACE';
}
