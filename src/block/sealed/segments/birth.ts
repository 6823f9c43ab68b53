import { encodeBirth, RECORD_COPIES } from '../../../formats/store/sessions/overlay-bodies.ts';
import { type PlaceTable, placeTable } from '../../../formats/store/sessions/overlay-summary.ts';
import {
  encodePreface,
  type LogPosition,
  PAGE_LENGTH,
  PLACE_LENGTH,
  SALT_LENGTH,
  SEGMENT_NUMBER_MAX,
} from '../../../formats/store/sessions/overlay-log.ts';
import type { File } from '../../../sys/files/file-system.ts';
import type { Random } from '../../../sys/base/random.ts';
import type { LogFiles } from './log-files.ts';
import { crowded, type Segment, type Segments } from './segments.ts';

/** A segment that is on the disk, and the list in its first slots. */
export interface Born {
  readonly segment: Segment;
  readonly table: PlaceTable;
  readonly file: File;
  /** The first unused place. */
  readonly place: number;
  /** The number of places, from the first on, that are allocated on the disk. */
  readonly allocated: number;
  /** The numbers of the existing segments, as its birth slots list them. */
  readonly listed: ReadonlySet<number>;
}

/**
 * Creates a segment under a key of its own: both prefaces, and slots that list the existing segments. All of it is
 * durable when this resolves, before any answered write lies in it.
 */
export async function bearSegment(
  {
    log,
    segments,
    random,
  }: { readonly log: LogFiles; readonly segments: Segments; readonly random: Random },
  {
    number,
    durable,
    max,
    allocate,
  }: {
    readonly number: number;
    readonly durable: LogPosition;
    /** The most segments that may exist. */
    readonly max: number;
    /** Places to allocate, besides those of the list. */
    readonly allocate: number;
  },
): Promise<Born> {
  const { files, head } = log;
  const { places, suite } = head;
  if (segments.count >= max || number > SEGMENT_NUMBER_MAX) throw crowded(log, segments.count);
  const salt = Uint8Array.from(random.bytes(SALT_LENGTH));
  const path = log.segmentPath(number);
  await (await files.create(path))[Symbol.asyncDispose]();
  const table = placeTable(places);
  const segment = segments.add(number, salt, table);
  try {
    const file = await segments.hold(segment);
    const all = [...segments.all()].sort((a, b) => a.number - b.number);
    const bodies = encodeBirth(all);
    const place = 1 + bodies.length;
    // Otherwise it would be abandoned before anything is written to it.
    if (place + RECORD_COPIES > places - 1) throw crowded(log, segments.count);
    const allocated = Math.min(places - 1, place + allocate);
    await file.allocate(0, allocated * PLACE_LENGTH);
    const preface = encodePreface({ of: 'segment', suite, number, salt });
    const bytes = new Uint8Array(place * PLACE_LENGTH);
    bytes.set(preface);
    bodies.forEach((body, index) => {
      const slot = { place: 1 + index, kind: 'birth', page: number, durable } as const;
      segment.codec.seal(bytes.subarray(slot.place * PLACE_LENGTH), slot, body);
      table.set(slot.place, { kind: 'birth', page: number, n: body.length / PAGE_LENGTH });
    });
    await file.write(bytes, 0);
    await file.write(preface, (places - 1) * PLACE_LENGTH);
    await file.sync();
    await files.syncDirectory(log.directory);
    return { segment, table, file, place, allocated, listed: new Set(all.map((it) => it.number)) };
  } catch (cause) {
    // It was not born: no other segment lists it yet. Its number is not used again.
    await segments.remove(segment);
    await files.unlink(path).catch(() => {});
    throw cause;
  }
}
