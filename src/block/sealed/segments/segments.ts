import { join } from 'node:path/posix';
import { assert } from '../../../lib/assert.ts';
import { SEGMENTS_MAX } from '../../../formats/store/sessions/overlay-bodies.ts';
import type { PlaceTable } from '../../../formats/store/sessions/overlay-summary.ts';
import {
  mayBeginQuad,
  QUAD_PLACES,
  type SlotCodec,
} from '../../../formats/store/sessions/overlay-log.ts';
import type { File } from '../../../sys/files/file-system.ts';
import { type OpenFiles, openFiles } from '../../../sys/files/open-files.ts';
import { SystemError } from '../../../sys/base/system-error.ts';
import { BlockError } from '../../block-error.ts';
import type { LogFiles } from './log-files.ts';

/**
 * One file of the log. While it may still change it is open and has a table of its places; once it has a summary it
 * is like every other file, opened when it is read.
 */
export interface Segment {
  readonly number: number;
  /** Its index in the map's locations; reused by another segment once this one is gone. */
  readonly index: number;
  readonly salt: Uint8Array;
  readonly codec: SlotCodec;
  /** Undefined: the summary has it. */
  table: PlaceTable | undefined;
  /** One bit for each quad. */
  quads: Uint8Array | undefined;
  /** Live pages: those in the map, and sealed ones on their way into it, because a dead segment vanishes. */
  live: number;
  /** Places of slots sealed here so far. */
  used: number;
  /** Slots of zeros, or with facts about other segments, that may still count: with any, the segment is not dead. */
  records: number;
  /** Written to since its last sync. */
  isUnsynced: boolean;
  /** A sync of it failed: its contents are trusted only after they were read from the medium. */
  isDoubted: boolean;
  /** A live slot here fails its seal: the segment stays, as evidence. */
  isDamaged: boolean;
  /** A `freed` record of it is in the log. */
  isFreed: boolean;
}

export interface Segments extends AsyncDisposable {
  /** Ascending by number, which is the order of the log. */
  all(): Iterable<Segment>;
  readonly count: number;
  at(index: number): Segment | undefined;
  numbered(number: number): Segment | undefined;
  add(number: number, salt: Uint8Array, table: PlaceTable | undefined): Segment;
  /** Removes a segment; its file is closed after its last reader. */
  remove(segment: Segment): Promise<void>;
  /** Opens its file and keeps it open until `release`. */
  hold(segment: Segment): Promise<File>;
  release(segment: Segment): void;
  /** The file of a segment that is held, or open now; valid for this tick only. */
  opened(segment: Segment): File | undefined;
  /** Held segments: they may still change, or have no summary yet. */
  held(): Iterable<Segment>;
  /** Call it when the map no longer has, or will not get, `pages` of a segment's pages. */
  lose(index: number, pages: number): void;
  /** Segments without live pages. */
  readonly empty: Set<Segment>;
  /** Keeps its file open while `work` runs. Rejects NOT_FOUND once the segment was removed. */
  use<T>(segment: Segment, work: (file: File) => Promise<T>): Promise<T>;
}

/** As many as the map's locations can name; index 0 is reserved, since its locations mean `absent` and `zeros`. */
const INDEXES = SEGMENTS_MAX;
/** Files of an overlay open at once; few of them still change. */
const FILES_MAX = 256;

export function segments(log: LogFiles): Segments {
  const byNumber = new Map<number, Segment>();
  const byIndex: (Segment | undefined)[] = [undefined];
  const freeIndexes: number[] = [];
  const empty = new Set<Segment>();
  const codecs = new Map<Segment, Disposable>();
  /** The number of users of each: the codec of a removed segment is disposed of after its last reader. */
  const users = new Map<Segment, number>();
  const held = new Map<Segment, { readonly file: File; readonly release: () => void }>();
  const open: OpenFiles<number> = openFiles(
    (number) => log.files.open(log.segmentPath(number), 'write'),
    FILES_MAX,
  );

  function freshIndex(): number {
    const index = freeIndexes.pop() ?? byIndex.length;
    if (index >= INDEXES) throw crowded(log, byNumber.size);
    return index;
  }
  function disposeUnused(segment: Segment): void {
    if (users.has(segment)) return;
    codecs.get(segment)?.[Symbol.dispose]();
    codecs.delete(segment);
  }
  return {
    all: () => byNumber.values(),
    get count() {
      return byNumber.size;
    },
    at: (index) => byIndex[index],
    numbered: (number) => byNumber.get(number),
    add(number, salt, table) {
      const codec = log.codec({ of: 'segment', number, salt });
      const index = freshIndex();
      const segment = newSegment({ number, index, salt, codec, table });
      codecs.set(segment, codec);
      byIndex[index] = segment;
      byNumber.set(number, segment);
      empty.add(segment);
      return segment;
    },
    async remove(segment) {
      byNumber.delete(segment.number);
      empty.delete(segment);
      byIndex[segment.index] = undefined;
      freeIndexes.push(segment.index);
      this.release(segment);
      await open.forget(segment.number);
      disposeUnused(segment);
    },
    hold(segment) {
      const { promise: released, resolve: release } = Promise.withResolvers<void>();
      return new Promise((resolve, reject) => {
        open
          .use(segment.number, async (file) => {
            held.set(segment, { file, release });
            resolve(file);
            await released;
          })
          .catch(reject);
      });
    },
    release(segment) {
      held.get(segment)?.release();
      held.delete(segment);
    },
    held: () => held.keys(),
    lose(index, pages) {
      const segment = byIndex[index];
      assert(segment && segment.live >= pages, `segment ${index} has fewer than ${pages} pages`);
      segment.live -= pages;
      if (segment.live === 0) empty.add(segment);
    },
    empty,
    opened: (segment) => held.get(segment)?.file ?? open.opened(segment.number),
    async use(segment, work) {
      // Its file may still exist: it would be opened again, without a codec, and keep its space after it is unlinked.
      if (byNumber.get(segment.number) !== segment) {
        throw new SystemError('NOT_FOUND', `${log.segmentPath(segment.number)}: it was freed`);
      }
      users.set(segment, (users.get(segment) ?? 0) + 1);
      try {
        return await open.use(segment.number, work);
      } finally {
        const left = users.get(segment)! - 1;
        if (left > 0) users.set(segment, left);
        else users.delete(segment);
        if (byNumber.get(segment.number) !== segment) disposeUnused(segment);
      }
    },
    async [Symbol.asyncDispose]() {
      for (const { release } of held.values()) release();
      held.clear();
      await open[Symbol.asyncDispose]();
      for (const codec of codecs.values()) codec[Symbol.dispose]();
    },
  };
}

/** The error for a log that cannot have another segment. */
export function crowded({ directory, disk }: LogFiles, count: number): BlockError {
  return new BlockError(
    'NO_SPACE',
    `${join(directory, disk)}: the log of writes to the disk has ${count} segments, the maximum. ` +
      'Keep or migrate the session, or trim what the guest no longer needs; it can still be read',
  );
}

function newSegment(
  parts: Pick<Segment, 'number' | 'index' | 'salt' | 'codec' | 'table'>,
): Segment {
  return {
    ...parts,
    quads: undefined,
    live: 0,
    used: 0,
    records: 0,
    isUnsynced: false,
    isDoubted: false,
    isDamaged: false,
    isFreed: false,
  };
}

/** The map's location of a place. */
export function locationOf({ index }: Segment, place: number): number {
  return index * 2 ** 14 + place;
}

export function markQuad(segment: Segment, place: number, places: number): void {
  segment.quads ??= new Uint8Array(Math.ceil(places / QUAD_PLACES / 8));
  const quad = (place - 1) >> 2;
  segment.quads[quad >> 3]! |= 1 << (quad & 7);
}

/** The first place of the slot that holds the page at `place`. */
export function slotStart({ quads }: Segment, place: number): number {
  if (!quads) return place;
  const quad = (place - 1) >> 2;
  return (quads[quad >> 3]! & (1 << (quad & 7))) === 0 ? place : quad * QUAD_PLACES + 1;
}

/** The number of places of the slot that begins at `start`. */
export function slotPlaces(segment: Segment, start: number): number {
  if (!segment.quads || !mayBeginQuad(start)) return 1;
  const quad = (start - 1) >> 2;
  return (segment.quads[quad >> 3]! & (1 << (quad & 7))) === 0 ? 1 : QUAD_PLACES;
}
