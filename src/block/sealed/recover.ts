import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import type { VoidPlaces } from '../../formats/store/sessions/overlay-bodies.ts';
import { encodeSummary, type PlaceTable } from '../../formats/store/sessions/overlay-summary.ts';
import { encodeHeadFile } from '../../formats/store/sessions/overlay-head.ts';
import type { SegmentId } from '../../formats/store/sessions/overlay-key.ts';
import { QUAD_PLACES, SALT_LENGTH } from '../../formats/store/sessions/overlay-log.ts';
import { turnOfLoop } from '../../lib/turn-of-loop.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import type { Random } from '../../sys/base/random.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { BlockError } from '../block-error.ts';
import { type FoundFiles, headPath, type LogFiles } from './segments/log-files.ts';
import { type Damage, type LogState, readLogState } from './segments/log-state.ts';
import type { PageLocations } from './map/page-locations.ts';
import { locationOf, markQuad, type Segment, type Segments } from './segments/segments.ts';
import { readSummary, type Survey } from './segments/survey.ts';

export interface Recovered {
  readonly damage: readonly Damage[];
  /** There is damage of unknown extent: nothing may be written over it. */
  readonly isReadOnly: boolean;
  readonly nextNumber: number;
  /**
   * Void places that only a summary marks as such: without a record they would count as damage once that summary is
   * lost.
   */
  readonly voids: readonly VoidPlaces[];
}

/**
 * Takes over a log that a crash or a power cut left, in any state: nothing in it is overwritten, so that this may
 * itself be interrupted anywhere and run again. Afterwards each segment has a summary, and is never appended to.
 */
export async function recoverLog(
  log: LogFiles,
  {
    segments,
    map,
    random,
    begun,
  }: {
    readonly segments: Segments;
    readonly map: PageLocations;
    readonly random: Random;
    readonly begun: boolean;
  },
): Promise<Recovered> {
  const found = await log.list();
  if (begun && found.segments.length === 0) throw noSegmentIsThere(log);
  for (const name of found.temporary) await log.files.unlink(join(log.directory, name));
  const state = await readLogState(log, found, { isRecovery: true });
  const isReadOnly = state.damage.some((it) => it.isUnbounded);
  const empty = await replay(log, state, { segments, map });
  if (!isReadOnly) {
    if (log.isHeadDamaged) {
      await putDurably(log.files, headPath(log.directory, log.disk), encodeHeadFile(log.head));
    }
    for (const { number, salt, table } of state.segments) {
      if (table) await putSummary(log, { number, salt, table }, random);
    }
    await removeLeft(log, state, found);
  }
  const voids = empty.filter((it) => !isRecorded(state, it));
  return { damage: state.damage, isReadOnly, nextNumber: state.nextNumber, voids };
}

function isRecorded({ isVoid }: LogState, { segment, from, to }: VoidPlaces): boolean {
  for (let place = from; place < to; place++) if (!isVoid(segment, place)) return false;
  return true;
}

/** The error for a log that has had segments. */
export function noSegmentIsThere({ directory, disk }: LogFiles): BlockError {
  const what = 'no segment is there: what was written to the disk is lost';
  return new BlockError('CORRUPT', `${join(directory, disk)}.*.seg: ${what}`);
}

/**
 * Writes the summary of a segment that is wholly durable. Places that its table does not name are void from now on.
 */
export async function putSummary(
  log: LogFiles,
  { table, ...segment }: SegmentId & { readonly table: PlaceTable },
  random: Random,
): Promise<void> {
  const salt = Uint8Array.from(random.bytes(SALT_LENGTH));
  const { number } = segment;
  using codec = log.codec({ of: 'summary', segment, salt });
  const bytes = encodeSummary(table, { number, suite: log.head.suite, salt }, codec);
  await putDurably(log.files, log.summaryPath(number), bytes);
}

/** Applies each slot to the map, in the order of the log. Returns the places without a slot. */
export async function replay(
  log: LogFiles,
  { segments: surveys, damage }: Pick<LogState, 'segments' | 'damage'>,
  { segments, map }: { readonly segments: Segments; readonly map: PageLocations },
): Promise<readonly VoidPlaces[]> {
  const empty: VoidPlaces[] = [];
  for (const survey of surveys) {
    const { number, salt } = survey;
    const table = survey.table ?? (await summaryAgain(log, survey));
    const segment = segments.add(number, salt, undefined);
    for (const { segment: of, place, pages } of damage) {
      if (of !== number || !pages) continue;
      // The damaged slot stays in the map: reading it fails until it is overwritten.
      table.set(place, { kind: 'pages', page: pages.first, n: pages.count });
      segment.isDamaged = true;
    }
    await replaySegment(table, survey.zeros, { segment, map, places: log.head.places });
    empty.push(...emptyPlaces(table, number));
    await turnOfLoop();
  }
  return empty;
}

function* emptyPlaces(table: PlaceTable, segment: number): Generator<VoidPlaces> {
  const end = table.places - 1;
  for (let place = 1; place < end; ) {
    const from = place;
    while (place < end && table.kindAt(place) === undefined) place++;
    if (place > from) yield { segment, from, to: place };
    else place += table.countAt(place);
  }
}

async function summaryAgain(log: LogFiles, { number, salt }: Survey): Promise<PlaceTable> {
  const table = await readSummary(log, { number, salt });
  if (table && !(table instanceof FormatError)) return table;
  const what = `${log.summaryPath(number)} was whole a moment ago`;
  if (table) throw new BlockError('CORRUPT', `${what}: ${table.message}`);
  throw new SystemError('NOT_FOUND', `${what}: it is gone`);
}

async function replaySegment(
  table: PlaceTable,
  zeros: Survey['zeros'],
  {
    segment,
    map,
    places,
  }: { readonly segment: Segment; readonly map: PageLocations; readonly places: number },
): Promise<void> {
  for (let place = 1; place < places - 1; place++) {
    const kind = table.kindAt(place);
    if (kind === undefined) continue;
    if (kind !== 'birth') segment.used += table.countAt(place);
    if (kind !== 'pages') {
      if (kind !== 'mark' && kind !== 'birth') segment.records++;
      for (const { first, count } of zeros.get(place) ?? []) await map.zero(first, count);
      continue;
    }
    const page = table.pageAt(place);
    const n = table.countAt(place);
    if (n === QUAD_PLACES) markQuad(segment, place, places);
    while (!map.ready(page, n)) await map.load(page, n);
    map.set(page, n, locationOf(segment, place));
    segment.live += n;
    place += n - 1;
  }
}

async function removeLeft(log: LogFiles, { leftOver }: LogState, found: FoundFiles): Promise<void> {
  const { files } = log;
  for (const number of leftOver) await files.unlink(log.segmentPath(number));
  const gone = new Set(leftOver);
  const present = new Set(found.segments);
  for (const number of found.summaries) {
    if (gone.has(number) || !present.has(number)) await files.unlink(log.summaryPath(number));
  }
}
