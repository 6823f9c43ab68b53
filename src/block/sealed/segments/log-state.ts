import { FormatError } from '../../../formats/format-error.ts';
import {
  type SegmentList,
  type SegmentRange,
  type VoidPlaces,
  segmentsDigest,
} from '../../../formats/store/sessions/overlay-bodies.ts';
import type { SegmentId } from '../../../formats/store/sessions/overlay-key.ts';
import {
  type LogPosition,
  mayBeginQuad,
  PLACE_LENGTH,
} from '../../../formats/store/sessions/overlay-log.ts';
import type { File } from '../../../sys/files/file-system.ts';
import { BlockError } from '../../block-error.ts';
import { damagedPages } from './damaged-pages.ts';
import { type FoundFiles, headPath, type LogFiles } from './log-files.ts';
import { isBefore, LOG_START } from './positions.ts';
import {
  holdsSlots,
  type FailedPlace,
  readSalt,
  readSummary,
  type Survey,
  type SurveyAndList,
  surveySegment,
} from './survey.ts';

/** More than the number of failed births that can leave files behind. */
const FAR_OFF = 2 ** 16;

/** The state of a log as its files give it together, before anything is changed. */
export interface LogState {
  /** The segments that count, ascending. */
  readonly segments: readonly Survey[];
  /** Files to remove: freed, or never born, or restored by a power cut that undid their removal. */
  readonly leftOver: readonly number[];
  readonly damage: readonly Damage[];
  /** Neither this number nor a later one is in use in the log. */
  readonly nextNumber: number;
  /** Whether a record says that the place holds nothing. */
  isVoid(number: number, place: number): boolean;
}

/** The segments that existed when the newest segment with a list was born. */
interface NewestList extends SegmentList {
  readonly of: number;
}

/** A place that once held a slot and no longer does, or a damaged file. */
export interface Damage {
  readonly segment: number;
  readonly place: number;
  /** Undefined: it held no pages, or unknown ones. */
  readonly pages: { readonly first: number; readonly count: number } | undefined;
  /** Any page of the disk may be older than it should be. */
  readonly isUnbounded: boolean;
  readonly what: string;
}

/**
 * Reads a log. `isRecovery`: no process writes it, and its contents are made durable before they are trusted. Rejects
 * BlockError CORRUPT, naming the file, where a segment is missing.
 */
export async function readLogState(
  log: LogFiles,
  found: FoundFiles,
  { isRecovery }: { readonly isRecovery: boolean },
): Promise<LogState> {
  const surveys: Survey[] = [];
  /** Segments without a whole preface; `used`: they hold guests' pages, so they were born. */
  const nameless: number[] = [];
  const used = new Set<number>();
  const damage: Damage[] = log.isHeadDamaged ? [damagedHead(log)] : [];
  /** Only the newest list is kept: all together would take too much memory. */
  let newest: NewestList | undefined;
  for (const number of found.segments) {
    const hasSummary = found.summaries.has(number);
    const surveyed = await surveyFile(log, { number, hasSummary, isRecovery, damage });
    if (surveyed) surveys.push(surveyed.survey);
    else if (hasSummary || (await holdsSlots(log, number))) used.add(number);
    else nameless.push(number);
    if (surveyed?.list) newest = { of: number, ...surveyed.list };
  }
  requireOwn(log, surveys);
  const durable = durableOf(surveys, log.head.places);
  const isReached = (number: number) => number <= durable.segment;
  const { kept, leftOver, ...told } = presence(log, surveys, {
    newest,
    nameless: [...nameless, ...used],
    isReached: (number) => isReached(number) || used.has(number),
  });
  damage.push(...told.damage);
  const isVoid = voidPlaces(kept);
  for (const survey of kept) damage.push(...damageOf(log, survey, { durable, isVoid }));
  const nextNumber = numberAfter(kept, found.segments);
  return { segments: kept, leftOver, damage, nextNumber, isVoid };
}

/** A number far off was never given to a segment: continuing from it could use up all numbers. */
function numberAfter(kept: readonly Survey[], found: readonly number[]): number {
  const last = kept.at(-1)?.number ?? 0;
  return 1 + (found.findLast((number) => number < last + FAR_OFF) ?? last);
}

/**
 * Slots of which none opens are sealed under another key: without this check they would all count as torn by a power
 * cut, and the log as empty.
 */
function requireOwn(log: LogFiles, surveys: readonly Survey[]): void {
  if (surveys.some(isOpened) || !surveys.some((it) => it.isUsed)) return;
  throw new BlockError(
    'CORRUPT',
    `${headPath(log.directory, log.disk)} does not belong to the segments beside it, or the key is wrong: no slot ` +
      'of them opens. Put the right file back: what was written to the disk is in the segments',
  );
}

/** Whether a slot that opens states that the log was durable in some segment. */
function isOpened({ hasSummary, durable }: Survey): boolean {
  return hasSummary || durable.segment > LOG_START.segment;
}

/** Surveys a file; undefined: neither preface is whole. */
async function surveyFile(
  log: LogFiles,
  {
    number,
    hasSummary,
    isRecovery,
    damage,
  }: {
    readonly number: number;
    readonly hasSummary: boolean;
    readonly isRecovery: boolean;
    /** Collects damage of the summary. */
    readonly damage: Damage[];
  },
): Promise<SurveyAndList | undefined> {
  await using file = await log.files.open(log.segmentPath(number), isRecovery ? 'write' : 'read');
  const found = await readSalt(log, number, file);
  const summary = hasSummary && found ? await readSummary(log, { number, salt: found }) : undefined;
  if (summary instanceof FormatError) damage.push(damagedSummary(log, number, summary));
  const table = summary instanceof FormatError ? undefined : summary;
  if (isRecovery && !table) await believe(file, log.head.places);
  const salt = await readSalt(log, number, file);
  if (!salt) return undefined;
  using codec = log.codec({ of: 'segment', number, salt });
  return await surveySegment(log, { number, salt, codec }, file, table);
}

/** Before a sync, data just read may still be lost; after a failed sync, the data in memory may be. */
async function believe(file: File, places: number): Promise<void> {
  // The first sync may report a failure from before this process began; later reads then come from the medium.
  await file.sync().catch(() => file.sync());
  await file.drop(0, places * PLACE_LENGTH);
}

/** The durable position: a summary is only written when its segment is wholly durable. */
function durableOf(surveys: readonly Survey[], places: number): LogPosition {
  let durable = LOG_START;
  for (const survey of surveys) {
    const own = survey.hasSummary ? { segment: survey.number, place: places } : survey.durable;
    if (isBefore(durable, own)) durable = own;
  }
  return durable;
}

/** Compares the existing segments with the newest list. */
function presence(
  log: LogFiles,
  surveys: readonly Survey[],
  {
    newest,
    nameless,
    isReached,
  }: {
    readonly newest: NewestList | undefined;
    readonly nameless: readonly number[];
    isReached(number: number): boolean;
  },
) {
  const listed = newest && numbersOf(newest.ranges);
  const freed = new Map(surveys.flatMap((it) => [...it.freed]));
  const damage: Damage[] = [];
  const leftOver: number[] = [];
  const kept: Survey[] = [];
  for (const survey of surveys) {
    const { number, hasList, isUsed } = survey;
    const isUnlisted = newest && number < newest.of && !listed!.has(number);
    if (isUnlisted || freed.has(number)) {
      leftOver.push(number);
      continue;
    }
    if (!isOpened(survey)) {
      // Its birth was durable before anything else referred to it: at least that must open.
      const isMissed = isUsed || listed?.has(number) || isReached(number);
      if (isMissed) throw gone(log, number, NOTHING_OPENS);
      leftOver.push(number);
      continue;
    }
    kept.push(survey);
    // An older list is not needed; without the newest one a segment might be missing unseen.
    if (hasList) continue;
    const isUnbounded = number > (newest?.of ?? 0);
    damage.push({
      segment: number,
      place: 1,
      pages: undefined,
      isUnbounded,
      what: `${log.segmentPath(number)}: its list of segments is damaged`,
    });
  }
  const present = new Map(kept.map((it) => [it.number, it.salt]));
  for (const number of nameless) {
    // A segment whose birth failed, and whose file could not be removed either, is in no later list.
    const isMissed = number > (newest?.of ?? 0) ? isReached(number) : listed!.has(number);
    if (freed.has(number) || !isMissed) leftOver.push(number);
    else throw gone(log, number, 'begins and ends with what is not a preface');
  }
  const meant: SegmentId[] = [];
  for (const number of listed ?? []) {
    const salt = freed.get(number) ?? present.get(number);
    if (!salt) throw gone(log, number, 'is missing');
    meant.push({ number, salt });
  }
  const isMeant = !newest || Buffer.compare(segmentsDigest(meant), newest.digest) === 0;
  if (!isMeant) throw notMeant(log, newest);
  return { kept, leftOver, damage };
}

const NOTHING_OPENS =
  'contains no slot that opens: it is damaged, or not the file that the session wrote under this name';

function numbersOf(ranges: readonly SegmentRange[]): ReadonlySet<number> {
  const numbers = new Set<number>();
  for (const { first, last } of ranges) {
    for (let number = first; number <= last; number++) numbers.add(number);
  }
  return numbers;
}

/** Two copies of a log that both continued give their segments the same numbers. */
function notMeant(log: LogFiles, { of, ranges }: NewestList): BlockError {
  const which = `segments ${ranges[0]!.first} to ${ranges.at(-1)!.last}`;
  return new BlockError(
    'CORRUPT',
    `${log.segmentPath(of)}: not all of ${which} are those that it lists: some belong to a copy of this session that ` +
      'continued elsewhere. Put back the original ones',
  );
}

function gone(log: LogFiles, number: number, what: string): BlockError {
  return new BlockError(
    'CORRUPT',
    `${log.segmentPath(number)} ${what}: part of what was written to the disk is lost`,
  );
}

/** The places that records call void: they may even hold a whole slot, whose writer got an error. */
function voidPlaces(surveys: readonly Survey[]): LogState['isVoid'] {
  const bySegment = new Map<number, readonly VoidPlaces[]>();
  const all = surveys.flatMap((it) => it.voids);
  for (const [segment, runs] of Map.groupBy(all, (it) => it.segment)) {
    bySegment.set(segment, merged(runs));
  }
  for (const { number, table, hasSummary } of surveys) {
    if (hasSummary) continue;
    for (const { from, to } of bySegment.get(number) ?? []) table?.clear(from, to);
  }
  return (number, place) =>
    bySegment.get(number)?.some(({ from, to }) => place >= from && place < to) ?? false;
}

/** Records may repeat the same runs. */
function merged(runs: readonly VoidPlaces[]): readonly VoidPlaces[] {
  const apart: VoidPlaces[] = [];
  for (const run of runs.toSorted((a, b) => a.from - b.from)) {
    const last = apart.at(-1);
    if (!last || run.from > last.to) apart.push(run);
    else if (run.to > last.to) apart.splice(-1, 1, { ...last, to: run.to });
  }
  return apart;
}

function damageOf(
  log: LogFiles,
  { number, failed, hasSummary, isUsed }: Survey,
  { durable, isVoid }: { readonly durable: LogPosition; readonly isVoid: LogState['isVoid'] },
): Damage[] {
  const isProven = ({ place, kind, isUnread }: FailedPlace) =>
    hasSummary ||
    (kind === 'birth' && isUsed) ||
    ((isUnread || isBefore({ segment: number, place }, durable)) && !isVoid(number, place));
  const { disk } = log;
  const path = log.segmentPath(number);
  const found = failed.filter(isProven).map(({ place, kind, page, n }) => {
    const isKnown = kind === 'pages' && page + n <= log.pages && (n === 1 || mayBeginQuad(place));
    const pages = isKnown ? { first: page, count: n } : undefined;
    const isHarmless = kind !== undefined && kind !== 'pages' && kind !== 'zeros';
    return { segment: number, place, pages, isUnbounded: !pages && !isHarmless };
  });
  const nameless = (isUnbounded: boolean) =>
    runsOf(found.filter((it) => !it.pages && it.isUnbounded === isUnbounded));
  const [unbounded, harmless] = [nameless(true), nameless(false)];
  return found.map((it) => {
    const { place, pages } = it;
    if (pages) return { ...it, what: damagedPages(pages, { disk, path }) };
    const what = it.isUnbounded
      ? `${unbounded.get(place)}, and it is not known which part of disk ${disk} the guest wrote there`
      : `${harmless.get(place)}, which held nothing that the guest wrote`;
    return { ...it, what: `${path} is damaged at ${what}` };
  });
}

/** Names ascending places, joining consecutive ones. */
function runsOf(found: readonly { readonly place: number }[]): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (let begin = 0; begin < found.length; ) {
    const from = found[begin]!.place;
    let end = begin + 1;
    while (found[end]?.place === from + (end - begin)) end++;
    const to = found[end - 1]!.place;
    const name = from === to ? `place ${from}` : `places ${from} to ${to}`;
    for (; begin < end; begin++) names.set(found[begin]!.place, name);
  }
  return names;
}

export function damagedHead({ directory, disk }: LogFiles): Damage {
  const what = `${headPath(directory, disk)}: one of its two copies is damaged; the other one is used`;
  return { segment: 0, place: 0, pages: undefined, isUnbounded: false, what };
}

function damagedSummary(log: LogFiles, number: number, cause: FormatError): Damage {
  const what = `${log.summaryPath(number)}: ${cause.message}; the segment itself is read instead`;
  return { segment: number, place: 0, pages: undefined, isUnbounded: false, what };
}
