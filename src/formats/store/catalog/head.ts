import { decodeJsonRecord, encodeJsonRecord, type Fields } from '../base/json-record.ts';
import { nameIn } from '../base/names.ts';
import { decodeLink, encodeLink, type PointLink } from './point.ts';

// Names the newest recovery point of a machine in its set: the end of the chain of points. Grammar: head.md.

export interface HeadRecord {
  readonly set: string;
  readonly machine: string;
  /** Undefined: no point has been published yet. */
  readonly point: PointLink | undefined;
  /** All points that existed when it was written, and those that were missing then. */
  readonly points: readonly PointLink[];
}

const FORMAT = 'holdfast-head';
const VERSION = 1;
/** One point an hour for eleven years. */
const HEAD_POINTS_MAX = 100_000;

export function encodeHead(
  { set, machine, point, points }: HeadRecord,
  key: Uint8Array,
): Uint8Array {
  const record = {
    ...{ set, machine, point: point ? encodeLink(point) : null },
    points: points.map(encodeLink),
  };
  return encodeJsonRecord({ format: FORMAT, version: VERSION, ...record }, key);
}

/** Throws FormatError. Without a key it is not authenticated. */
export function decodeHead(bytes: Uint8Array, key: Uint8Array | undefined): HeadRecord {
  return decodeJsonRecord(bytes, key, headOf);
}

function headOf(fields: Fields): HeadRecord {
  fields.expect(FORMAT, VERSION);
  return {
    set: nameIn(fields, 'set'),
    machine: nameIn(fields, 'machine'),
    point: fields.has('point') ? decodeLink(fields.object('point')) : undefined,
    points: fields.list('points', HEAD_POINTS_MAX, decodeLink),
  };
}
