import { decodeJsonRecord, encodeJsonRecord, type Fields } from '../base/json-record.ts';
import { decodeLink, encodeLink, type PointLink } from './point.ts';

// Which recovery point of a machine is the newest in its set: the end of the chain of points. Grammar: head.md.

export interface HeadRecord {
  readonly set: string;
  readonly machine: string;
  /** Undefined: none was published yet. */
  readonly point: PointLink | undefined;
  /** All that there were when it was written, and those that were missing then. */
  readonly points: readonly PointLink[];
}

const FORMAT = 'holdfast-head';
const VERSION = 1;
/** One an hour for eleven years. */
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

/** Throws FormatError. Without a key its authenticity is not checked. */
export function decodeHead(bytes: Uint8Array, key: Uint8Array | undefined): HeadRecord {
  return decodeJsonRecord(bytes, key, headOf);
}

function headOf(fields: Fields): HeadRecord {
  fields.expect(FORMAT, VERSION);
  return {
    set: fields.text('set'),
    machine: fields.text('machine'),
    point: fields.has('point') ? decodeLink(fields.object('point')) : undefined,
    points: fields.list('points', HEAD_POINTS_MAX, decodeLink),
  };
}
