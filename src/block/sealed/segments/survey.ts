import {
  type BirthBody,
  birthCopies,
  decodeBirth,
  decodeFreed,
  decodeVoids,
  decodeZeros,
  joinBirth,
  RECORD_COPIES,
  type RecordCopy,
  type SegmentList,
  type VoidPlaces,
  type ZeroRun,
} from '../../../formats/store/sessions/overlay-bodies.ts';
import {
  decodeSummary,
  type PlaceTable,
  placeTable,
  summaryLength,
} from '../../../formats/store/sessions/overlay-summary.ts';
import type { SegmentId } from '../../../formats/store/sessions/overlay-key.ts';
import {
  decodePreface,
  type LogPosition,
  mayBeginQuad,
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_LENGTH,
  QUAD_PLACES,
  readTrailer,
  type SlotCodec,
  type SlotKind,
  type SlotTrailer,
} from '../../../formats/store/sessions/overlay-log.ts';
import { FormatError } from '../../../formats/format-error.ts';
import type { File } from '../../../sys/files/file-system.ts';
import { BlockError } from '../../block-error.ts';
import { readAround, readFileAround, type Unread } from '../../../sys/files/read-around.ts';
import { checkSuite, type LogFiles } from './log-files.ts';
import { isBefore } from './positions.ts';

/** The contents of one segment, read from its file, or from its summary and the slots without pages. */
export interface Survey {
  readonly number: number;
  readonly salt: Uint8Array;
  /** Undefined: the summary has it. All tables of a large log would take too much memory. */
  readonly table: PlaceTable | undefined;
  readonly hasSummary: boolean;
  /** Places without a slot that matches its seal, except those that a summary calls void. */
  readonly failed: readonly FailedPlace[];
  /** The greatest position up to which its slots say that the log was durable. */
  readonly durable: LogPosition;
  /** Whether its birth slots give the list of segments. */
  readonly hasList: boolean;
  /** The salts of freed segments, by number. */
  readonly freed: ReadonlyMap<number, Uint8Array>;
  readonly voids: readonly VoidPlaces[];
  readonly zeros: ReadonlyMap<number, readonly ZeroRun[]>;
  /** There is, or may be, a slot besides those of its birth. */
  readonly isUsed: boolean;
}

export interface FailedPlace {
  readonly place: number;
  /** The kind by the summary, otherwise by its trailer, if at least that is whole. */
  readonly kind: SlotKind | undefined;
  readonly page: number;
  readonly n: number;
  /** The medium fails to give it: no power cut leaves that. */
  readonly isUnread: boolean;
}

/** Number of places read at once. */
const READ_PLACES = 256;

/**
 * The salt of a segment, by one of its two prefaces; undefined: both are broken. Rejects CORRUPT for another suite,
 * and for a version that this release does not read.
 */
export async function readSalt(
  log: LogFiles,
  number: number,
  file: File,
): Promise<Uint8Array | undefined> {
  const { places, suite } = log.head;
  let unsupported: FormatError | undefined;
  for (const place of [0, places - 1]) {
    const bytes = new Uint8Array(PLACE_LENGTH);
    await readAround(file, bytes, place * PLACE_LENGTH);
    try {
      const preface = decodePreface(bytes);
      if (preface.of !== 'segment' || preface.number !== number) continue;
      checkSuite(file.path, preface.suite, suite);
      return preface.salt;
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      if (cause.code === 'UNSUPPORTED') unsupported = cause;
    }
  }
  if (!unsupported) return undefined;
  const what = 'this release does not read it. Open the session with the release that wrote it';
  throw new BlockError('CORRUPT', `${file.path}: ${unsupported.message}: ${what}`);
}

/**
 * Whether anything was, or may have been, appended to a segment with broken prefaces. Checked without a key, so it
 * may only refuse it.
 */
export async function holdsSlots({ files, ...log }: LogFiles, number: number): Promise<boolean> {
  await using file = await files.open(log.segmentPath(number), 'read');
  const bytes = new Uint8Array(PLACE_LENGTH);
  const quadTrailer = QUAD_LENGTH - (QUAD_PLACES - 1) * PLACE_LENGTH;
  for (let place = 1; place < log.head.places - 1; place++) {
    const unread = await readAround(file, bytes, place * PLACE_LENGTH);
    if (unread.length > 0) return true;
    const found = readTrailer(bytes, PAGE_LENGTH) ?? readTrailer(bytes, quadTrailer);
    if (found && found.kind !== 'birth') return true;
  }
  return false;
}

/**
 * Reads the summary of the segment that has this salt; undefined: it has none. A summary that fails its seal is
 * damaged, or belongs to another segment of this number, in a copy of the log that continued elsewhere.
 */
export async function readSummary(
  log: LogFiles,
  segment: SegmentId,
): Promise<PlaceTable | FormatError | undefined> {
  const { number } = segment;
  const { places, suite } = log.head;
  const path = log.summaryPath(number);
  if (!(await log.files.stat(path))) return undefined;
  const bytes = await readFileAround(log.files, path, 2 * summaryLength(places));
  try {
    const preface = decodePreface(bytes);
    if (preface.of !== 'summary' || preface.number !== number) {
      return new FormatError('CORRUPT', `summary of ${preface.number}`);
    }
    checkSuite(path, preface.suite, suite);
    using codec = log.codec({ of: 'summary', segment, salt: preface.salt });
    return decodeSummary(bytes, { number, places, pages: log.pages }, codec);
  } catch (cause) {
    if (cause instanceof FormatError) return cause;
    throw cause;
  }
}

/** A survey and the segments that existed at its birth: apart, since only the newest list counts. */
export interface SurveyAndList {
  readonly survey: Survey;
  readonly list: SegmentList | undefined;
}

/** Reads all of a segment without a summary; of another only the slots that hold no pages. */
export async function surveySegment(
  log: LogFiles,
  { number, salt, codec }: SegmentId & { readonly codec: SlotCodec },
  file: File,
  summary: PlaceTable | undefined,
): Promise<SurveyAndList> {
  const { places } = log.head;
  const table = summary ?? placeTable(places);
  // Slots without pages are mostly scattered, and take one place each.
  const bytes = new Uint8Array((summary ? 1 : Math.min(READ_PLACES, places)) * PLACE_LENGTH);
  let [from, to] = [0, 0];
  let unread: readonly Unread[] = [];
  const isUnread = (place: number, n: number) =>
    unread.some((it) => it.from < (place + n) * PLACE_LENGTH && it.to > place * PLACE_LENGTH);
  const found = findings(log, table, { number, isUnread });
  /** The bytes from `place` on, for the longest slot that may lie there. */
  async function at(place: number): Promise<Uint8Array> {
    if (place + (summary ? 1 : QUAD_PLACES) > to && to < places) {
      const wanted = bytes.subarray(0, (places - place) * PLACE_LENGTH);
      unread = await readAround(file, wanted, place * PLACE_LENGTH);
      [from, to] = [place, place + wanted.length / PLACE_LENGTH];
    }
    return bytes.subarray((place - from) * PLACE_LENGTH, (to - from) * PLACE_LENGTH);
  }
  for (let place = 1; place < places - 1; ) {
    const kind = summary?.kindAt(place);
    if (summary && (kind === undefined || kind === 'pages')) {
      place += kind ? summary.countAt(place) : 1;
      continue;
    }
    place += found.slot(codec, await at(place), place);
  }
  const kept = summary ? undefined : table;
  const { list, ...said } = found.result();
  const parts = { number, salt, table: kept, hasSummary: summary !== undefined };
  return { survey: { ...parts, hasList: list !== undefined, ...said }, list };
}

/** Collects the contents of slots. */
function findings(
  { pages, head: { places } }: LogFiles,
  table: PlaceTable,
  {
    number,
    isUnread,
  }: { readonly number: number; readonly isUnread: (place: number, n: number) => boolean },
) {
  const body = new Uint8Array(QUAD_LENGTH);
  const single = body.subarray(0, PAGE_LENGTH);
  const failed: FailedPlace[] = [];
  const births: BirthBody[] = [];
  const freed = new Map<number, Uint8Array>();
  const voids: VoidPlaces[] = [];
  /** The kinds at the places of the other copies of a slot. */
  const copies = new Map<number, SlotKind>();
  const zeros = new Map<number, readonly ZeroRun[]>();
  let durable: LogPosition = { segment: 0, place: 0 };
  let isUsed = false;
  /** Places before this one belong to a failed slot, if its trailer is true. */
  let covered = 0;

  function opened(codec: SlotCodec, bytes: Uint8Array, place: number): SlotTrailer | undefined {
    const slot = codec.open(bytes, place, single);
    if (slot || !isQuadPlace(place, bytes)) return slot;
    return codec.open(bytes, place, body);
  }
  function isQuadPlace(place: number, bytes: Uint8Array): boolean {
    const isRoom = place + QUAD_PLACES <= places - 1 && bytes.length >= QUAD_PLACES * PLACE_LENGTH;
    return mayBeginQuad(place) && isRoom;
  }
  function record(slot: SlotTrailer, place: number): void {
    if (slot.kind === 'birth') births.push(born(decodeBirth(single)));
    else isUsed = true;
    if (slot.kind === 'freed') {
      const list = copied(slot.kind, place, decodeFreed(single));
      for (const { number, salt } of list) freed.set(number, salt);
    }
    if (slot.kind === 'voids') voids.push(...copied(slot.kind, place, decodeVoids(single)));
    if (slot.kind === 'zeros') zeros.set(place, decodeZeros(single, pages));
  }
  function born(body: BirthBody): BirthBody {
    const count = body.bodies * birthCopies(body.bodies);
    for (let place = 1; place <= count; place++) copies.set(place, 'birth');
    return body;
  }
  function copied<T>(kind: SlotKind, place: number, { copy, list }: RecordCopy<T>): readonly T[] {
    const isFirst = copies.get(place) !== kind;
    for (let at = 0; at < RECORD_COPIES; at++) copies.set(place - copy + at, kind);
    return isFirst ? list : [];
  }
  /** The kind of a damaged copy is known from another copy, regardless of what is left of it. */
  function known(it: FailedPlace): FailedPlace {
    const kind = copies.get(it.place);
    return kind ? { ...it, kind, page: 0, n: 1 } : it;
  }
  function fail(bytes: Uint8Array, place: number): void {
    if (place < covered) return;
    const trailer = trailerOf(bytes, isQuadPlace(place, bytes));
    // A birth slot may be torn in its body only.
    if (trailer && trailer.kind !== 'birth') isUsed = true;
    const { page = 0, n = 1 } = trailer ?? {};
    // A summary is sealed; the trailer of a failed slot is not.
    const kind = table.kindAt(place) ?? trailer?.kind;
    failed.push({ place, kind, page, n, isUnread: isUnread(place, n) });
    covered = place + n;
  }
  /** A whole slot inside an assumed quad: the trailer of that quad was data that a guest wrote into a page. */
  function uncover(place: number): void {
    if (place >= covered) return;
    covered = place;
    const quad = failed.pop()!;
    failed.push({ ...quad, kind: undefined, page: 0, n: 1 });
  }
  return {
    /** Takes the slot at `place` and returns its number of places. */
    slot(codec: SlotCodec, bytes: Uint8Array, place: number): number {
      try {
        const slot = opened(codec, bytes, place);
        const isOther = slot?.kind === 'birth' && slot.page !== number;
        if (!slot || isOther) {
          fail(bytes, place);
          return 1;
        }
        uncover(place);
        record(slot, place);
        table.set(place, slot);
        if (isBefore(durable, slot.durable)) durable = slot.durable;
        return slot.n;
      } catch (cause) {
        if (!(cause instanceof FormatError)) throw cause;
        fail(bytes, place);
        return 1;
      }
    },
    result() {
      const list = listOf(births);
      return { failed: failed.map(known), durable, list, freed, voids, zeros, isUsed };
    },
  };
}

function trailerOf(bytes: Uint8Array, mayBeQuad: boolean): SlotTrailer | undefined {
  const single = readTrailer(bytes, PAGE_LENGTH);
  if (single?.n === 1) return single;
  const quad = mayBeQuad ? readTrailer(bytes, QUAD_LENGTH) : undefined;
  return quad?.n === QUAD_PLACES ? quad : undefined;
}

/** Undefined: a part is missing or invalid. */
function listOf(births: readonly BirthBody[]): SegmentList | undefined {
  try {
    return births.length === 0 ? undefined : joinBirth(births);
  } catch (cause) {
    if (cause instanceof FormatError) return undefined;
    throw cause;
  }
}
