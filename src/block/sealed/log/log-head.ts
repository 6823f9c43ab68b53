import { assert } from '../../../lib/assert.ts';
import {
  type LogPosition,
  mayBeginQuad,
  type NewSlot,
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_PLACES,
  type SlotKind,
} from '../../../formats/store/sessions/overlay-log.ts';
import type { VoidPlaces } from '../../../formats/store/sessions/overlay-bodies.ts';
import type { Clock } from '../../../sys/base/clock.ts';
import type { BlockError } from '../../block-error.ts';
import type { SpaceGuard } from '../../space-guard.ts';
import { type Batch, BATCH_PLACES, batches } from './batches.ts';
import type { Born } from '../segments/birth.ts';
import { LOG_START } from '../segments/positions.ts';
import { segmentSupply } from '../segments/segment-supply.ts';
import { markQuad, type Segment } from '../segments/segments.ts';

/**
 * Whose space a slot uses. Guests' writes are taken from the guard. The cleaner's copies, and trims, may use the
 * reserve: they give more back. Records of flushes do not even wait for a flush.
 */
export type Payer = 'guest' | 'reserve' | 'record';

/** The end of the log, where all slots are appended. */
export interface LogHead {
  /** The number of places that may be sealed in this tick, in one segment; 0: call `more` first. */
  room(payer: Payer): number;
  /**
   * Resolves once that has changed for a caller that needs `count` places of one segment (default: 1). Rejects
   * NO_SPACE, even if a later try may succeed.
   */
  more(payer: Payer, count?: number): Promise<void>;
  /** A batch that takes `count` of the available places at once. */
  take(count: number, payer: Payer): Batch;
  /** Seals the next slot of that batch. Its place is used up in any case. */
  seal(batch: Batch, kind: SlotKind, page: number, body: Uint8Array): void;
  /** Whether a quad may be sealed next. */
  mayQuad(): boolean;
  /** The next place: everything sealed so far lies before it. */
  position(): LogPosition;
  /** Call it when a flush is about to begin. */
  clearAhead(): void;
  /** Waits for all batches begun so far. */
  settled(): Promise<void>;
  /** Void places that no record names yet. */
  readonly voids: VoidPlaces[];
  /** Number of places sealed since this process began. */
  readonly sealed: number;
  /** The newest list of segments that is durable. */
  readonly listed: ReadonlySet<number>;
  readonly current: Segment | undefined;
  /** Whether a segment may still change: the current one, or the one prepared to be next. */
  isOpen(segment: Segment): boolean;
  durable: LogPosition;
  /** The value of `sealed` at the durable position. */
  proven: number;
  /** A segment made ahead stays: its list is the newest one. */
  close(): Promise<void>;
}

export interface LogHeadOptions {
  readonly clock: Clock;
  readonly space: SpaceGuard;
  readonly places: number;
  readonly limits: Pick<LogLimits, 'writeNowMax' | 'waitAt' | 'segmentMs' | 'stepMax'>;
  readonly bear: (durable: LogPosition, allocate: number) => Promise<Born>;
  /** Called when the guard has no space left. */
  readonly onShort: () => void;
  /** The reason why guests get no further segment, if there is one. */
  readonly refusal: () => BlockError | undefined;
  /** Begins a flush because too much of the log is unproven. */
  readonly flush: () => Promise<void>;
}

/** Sizes in bytes. */
export interface LogLimits {
  /** A flush begins on its own once this much of the log is not proven to be on the medium. */
  readonly unprovenMax: number;
  /** At this amount, writes wait for the flush. */
  readonly waitAt: number;
  /** The largest write that this thread does itself. */
  readonly writeNowMax: number;
  /** The dead bytes at which the cleaner begins, unless there are more live ones. */
  readonly deadMax: number;
  /** The most places by which a file grows at once. */
  readonly stepMax: number;
  /** The age at which a segment is abandoned, so that a copy of this machine's memory shares little with it. */
  readonly segmentMs: number;
  /** The most segments that may exist; guests are refused a little earlier. */
  readonly segmentsMax: number;
  /** Memory for the locations of pages; the rest is on the disk. */
  readonly mapBudget: number;
  /** After this time without a write, a mark in the log says that the last flush succeeded. */
  readonly markAfterMs: number;
}

/** Places by which the file grows at first; doubles with each step. */
const STEP_MIN = 16;
/** The most places that guests pay for at once: other sessions may need the unused ones. */
const BUY_MAX = 2048;
/** With at most this many places between flushes, they are so frequent that each journal commit matters. */
const FEW_PLACES = 16;
/** Places cleared at once in that case: one commit for all of them. */
const CLEARED = new Uint8Array(64 * PLACE_LENGTH);
/** The wall clock has drifted this far from the monotonic one: this machine may be a copy of another. */
const JUMP_MS = 5000;

export function logHead(options: LogHeadOptions): LogHead {
  const { clock, places, limits, bear, flush } = options;
  const { isDue, began } = segmentAge(clock, limits.segmentMs);
  const unprovenPlaces = Math.floor(limits.waitAt / PLACE_LENGTH);
  const voids: VoidPlaces[] = [];
  const writes = batches({ clock, nowMax: limits.writeNowMax, onFailed: drop });
  const space = fileSpace(places, limits.stepMax);
  const supply = segmentSupply(() => space.inSteps((some) => bear(head.durable, some)));
  const credit = placesPaid(options.space, options.onShort);
  const underWay = sharedWork();
  const clear = clearing(writes.mayBlock);
  let current: Born | undefined;
  let place = 0;
  let sealed = 0;

  /** For a batch that was not written, or only partly. */
  function drop({ segment, first, count }: Batch): void {
    voids.push({ segment: segment.number, from: first, to: first + count });
    segment.table?.clear(first, first + count);
  }
  function leave({ segment }: Born, from: number): void {
    writes.send();
    if (from < places - 1) voids.push({ segment: segment.number, from, to: places - 1 });
  }
  async function turn(): Promise<void> {
    // Segments made ahead have keys that a copy of this machine has as well.
    let stale = current && isDue() ? supply.ahead : 0;
    let born = await supply.take();
    for (; stale > 0; stale--) {
      leave(born, born.place);
      born = await supply.take();
    }
    if (current) leave(current, place);
    current = born;
    ({ place } = born);
    space.follow(born);
    began();
  }
  const head: LogHead = {
    room(payer) {
      if (!current || writes.isFull || (!writes.open && isDue())) return 0;
      const here = Math.min(space.end - place, BATCH_PLACES);
      if (payer === 'record') return here;
      const some = Math.max(0, Math.min(here, unprovenPlaces - (sealed - head.proven)));
      return payer === 'guest' ? Math.min(some, credit.left) : some;
    },
    async more(payer, count = 1) {
      if (writes.isFull) return firstEnd(writes.underWay());
      if (payer !== 'record' && sealed - head.proven >= unprovenPlaces) return flush();
      if (payer === 'guest' && credit.left === 0)
        return underWay('buy', () => credit.buy(Math.min(space.step, BUY_MAX)));
      const isAtEnd = !current || place + count > places - 1;
      const refused = isAtEnd && payer === 'guest' ? options.refusal() : undefined;
      if (refused) throw refused;
      if (isAtEnd || isDue()) return underWay('turn', turn);
      if (space.end < place + count) return underWay('grow', space.grow);
    },
    take(count, payer) {
      assert(current && count <= head.room(payer), 'places for which there is room');
      if (payer === 'guest') credit.left -= count;
      const { open } = writes;
      if (open && open.count + count <= BATCH_PLACES) return open;
      return writes.begin(current.segment, current.file, place);
    },
    seal(batch, kind, page, body) {
      assert(batch === writes.open && current, 'a batch of this tick');
      const n = body.length / PAGE_LENGTH;
      sealInto(batch, current, { place, kind, page, n, durable: head.durable }, body);
      if (n === QUAD_PLACES) markQuad(current.segment, place, places);
      batch.count += n;
      place += n;
      sealed += n;
      // The caller that needs the space tries again, and gets the error.
      if (space.isLow(place)) underWay('grow', space.grow).catch(() => {});
    },
    clearAhead: () => clear(current, { place, allocated: space.end, sealed }),
    mayQuad: () => mayBeginQuad(place),
    position: () => (current ? { segment: current.segment.number, place } : LOG_START),
    async settled() {
      writes.send();
      for (const { written } of [...writes.underWay()]) await written.catch(() => {});
    },
    voids,
    get sealed() {
      return sealed;
    },
    get listed() {
      return supply.listed;
    },
    get current() {
      return current?.segment;
    },
    isOpen: (segment) => segment === current?.segment || supply.has(segment),
    durable: LOG_START,
    proven: 0,
    close: () => supply.settled(),
  };
  return head;
}

function sealInto(
  { staging, count }: Batch,
  { segment, table }: Born,
  slot: NewSlot & { readonly n: number },
  body: Uint8Array,
): void {
  const at = count * PLACE_LENGTH;
  segment.codec.seal(staging.subarray(at, at + slot.n * PLACE_LENGTH), slot, body);
  table.set(slot.place, slot);
  segment.used += slot.n;
  if (slot.kind !== 'pages' && slot.kind !== 'mark') segment.records++;
}

/**
 * Writes zeros to the next places before a flush. Without that, each sync commits a change to the file system's
 * journal, namely that a few more of the allocated blocks are in use; with it, one commit is enough for all of these
 * places.
 */
function clearing(mayBlock: () => boolean) {
  let segment: Segment | undefined;
  let cleared = 0;
  let sealedBefore = 0;
  return (
    born: Born | undefined,
    at: { readonly place: number; readonly allocated: number; readonly sealed: number },
  ): void => {
    const { place, allocated, sealed } = at;
    const isFew = sealed - sealedBefore <= FEW_PLACES;
    sealedBefore = sealed;
    if (!born || !isFew || !mayBlock()) return;
    if (born.segment !== segment) cleared = 0;
    ({ segment } = born);
    if (place < cleared || place >= allocated) return;
    cleared = Math.min(allocated, place + CLEARED.length / PLACE_LENGTH);
    const zeros = CLEARED.subarray(0, (cleared - place) * PLACE_LENGTH);
    try {
      // Within this call: the next sealed slots will lie there.
      born.file.writeNow(zeros, place * PLACE_LENGTH);
    } catch {
      // Without it, a sync just takes longer.
    }
  };
}

/**
 * Space of the file in which the log ends, allocated in steps that double, and before the last step is used up, so
 * that no write waits for it: the kernel makes an allocation wait for milliseconds while others write to the file.
 */
function fileSpace(places: number, stepMax: number) {
  let born: Born | undefined;
  let last = STEP_MIN;
  let isGrowing = false;
  const space = {
    /** Places before this one are allocated. */
    end: 0,
    /** Places to allocate next. */
    step: STEP_MIN,
    /** From now on the log ends in this segment. */
    follow(next: Born): void {
      born = next;
      space.end = next.allocated;
    },
    /** When the medium does not have this much left, the next request is smaller. */
    async inSteps<T>(work: (places: number) => Promise<T>): Promise<T> {
      try {
        return await work(space.step);
      } catch (cause) {
        last = space.step = STEP_MIN;
        throw cause;
      }
    },
    async grow(): Promise<void> {
      const { segment, file } = born!;
      const from = space.end;
      isGrowing = true;
      try {
        const end = await space.inSteps(async (some) => {
          const to = Math.min(places - 1, from + some);
          await file.allocate(from * PLACE_LENGTH, (to - from) * PLACE_LENGTH);
          return to;
        });
        last = space.step;
        space.step = Math.min(stepMax, 2 * last);
        if (born?.segment === segment) space.end = end;
      } finally {
        isGrowing = false;
      }
    },
    isLow: (place: number): boolean =>
      !isGrowing && space.end < places - 1 && space.end - place < last / 2,
  };
  return space;
}

/** Places that guests have paid for but not used. */
function placesPaid(space: SpaceGuard, onShort: () => void) {
  const credit = {
    left: 0,
    async buy(count: number): Promise<void> {
      if (space.tryTake(count * PLACE_LENGTH)) {
        credit.left += count;
        return;
      }
      const free = Math.floor((await space.left()) / PLACE_LENGTH);
      if (free < count) onShort();
      // Near the end smaller steps are taken, instead of refusing a large one.
      const some = Math.max(1, Math.min(count, free));
      await space.take(some * PLACE_LENGTH);
      credit.left += some;
    },
  };
  return credit;
}

/** Shared work: all callers wait for the same run, one per name at a time. */
function sharedWork(): (name: string, work: () => Promise<void>) => Promise<void> {
  const running = new Map<string, Promise<void>>();
  function share(name: string, work: () => Promise<void>): Promise<void> {
    const shared = running.get(name) ?? work().finally(() => running.delete(name));
    running.set(name, shared);
    return shared;
  }
  // A run that began before this call may fail for a reason that no longer exists.
  return (name, work) => running.get(name)?.catch(() => share(name, work)) ?? share(name, work);
}

async function firstEnd(batches: Iterable<Batch>): Promise<void> {
  for (const { written } of batches) return written.catch(() => {});
}

/** Decides when to abandon the current segment, even if it still has room. */
function segmentAge(clock: Clock, ageMax: number) {
  let beganAt = 0;
  let ahead = 0;
  return {
    began(): void {
      beganAt = clock.monotonicMs();
      ahead = clock.now().getTime() - beganAt;
    },
    isDue(): boolean {
      const monotonic = clock.monotonicMs();
      const isOld = monotonic - beganAt >= ageMax;
      return isOld || Math.abs(clock.now().getTime() - monotonic - ahead) > JUMP_MS;
    },
  };
}
