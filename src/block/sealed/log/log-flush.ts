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

/** Segments that a record in the log frees; they vanish once it is durable. */
interface Freed {
  readonly segments: readonly Segment[];
}

export interface LogFlush extends FlushRounds {
  /** After a flush, appends a record of the segments that are dead now and lay before that flush. */
  free(): Promise<void>;
  /** The segments whose `freed` record is durable; each is returned once. */
  takeFreed(): readonly Segment[];
}

const EMPTY = new Uint8Array(PAGE_LENGTH);

/** Appends slots without pages, one after the other in one segment; resolves once they are written. */
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
 * A flush makes the log durable up to its end at that time: usually one sync of the file in which it ends. A record
 * after it may free what died before it; what a flush made durably free may vanish. Segments that were begun and died
 * since the last flush are freed in this one, and are not synced: guests that write the same pages over and over
 * (journals, swap) do not fill the disk's queue with dead pages.
 */
export function logFlush(parts: LogParts, onFlushed: () => void): LogFlush {
  const { segments, head } = parts;
  let freed: Freed[] = [];
  let vanishing: Segment[] = [];
  /** Segments that were dead when the last flush began. */
  let dead: readonly Segment[] = [];
  let lost: unknown;
  const rounds = flushRounds(round, () => lost !== undefined);

  async function appendVoids(): Promise<void> {
    while (head.voids.length > 0) {
      const these = head.voids.slice(0, VOIDS_MAX);
      await appendRecord(head, 'voids', encodeVoids(these));
      // Failures in the meantime were appended at the end.
      head.voids.splice(0, these.length);
    }
  }
  async function round(): Promise<void> {
    const position = head.position();
    const { sealed } = head;
    if (!isBefore(head.durable, position) && head.voids.length === 0) {
      // Segments that died since then are dead by durable slots: on a full disk no other record could say so.
      dead = deadSegments(parts, position);
      return;
    }
    head.clearAhead();
    const deadNow = deadSegments(parts, position);
    // No flush has acknowledged these: with this record, they need not become durable.
    const unborn = deadNow.filter((it) => it.isUnsynced && it.number > head.durable.segment);
    if (unborn.length > 0) await appendFreed(unborn).catch(() => {});
    await head.settled();
    // Before any slot can state that the log is durable beyond these places.
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
    // Not only up to the flush's position: later writes may be lost as well.
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

/** Segments that lie wholly before a position and hold nothing live. */
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
