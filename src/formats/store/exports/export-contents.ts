import { cutText, decodeSummed, encodeSummed, type Fields } from '../base/json-record.ts';
import { idIn, nameIn } from '../base/names.ts';
import { POINT_DISKS_MAX } from '../catalog/point.ts';
import { EXPORT_SETS_MAX } from './export-record.ts';

// What an export says of its contents, readable without any key: export-record.md.

/** At the beginning: what was to be exported. */
export interface ExportContents {
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly sets: readonly ExportedSet[];
  readonly points: readonly ExportedPoint[];
}

export interface ExportedSet {
  readonly name: string;
  readonly encrypted: boolean;
}

export interface ExportedPoint {
  /** As the list of sets counts. */
  readonly set: number;
  readonly id: string;
  readonly machine: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly disks: readonly { readonly name: string; readonly size: number }[];
  /** Frames of it that no earlier point of the export has, and their bytes, as its manifests say. */
  readonly frames: number;
  readonly bytes: number;
}

/** At the end: what became of each point in the list at the beginning, in its order. */
export interface ExportIndex {
  readonly points: readonly IndexedPoint[];
}

export interface IndexedPoint {
  readonly set: number;
  readonly id: string;
  /** Where its record begins in the file; undefined: it could not be read whole, for this reason. */
  readonly offset: number | undefined;
  readonly reason: string | undefined;
}

const FORMAT = 'holdfast-export';
const INDEX_FORMAT = 'holdfast-export-index';
const VERSION = 1;
/** As many as a `begin` of 64 MiB has room for. */
export const EXPORT_POINTS_MAX = 100_000;

export function encodeExportContents(contents: ExportContents): Uint8Array {
  return encodeSummed({ format: FORMAT, version: VERSION, ...contents });
}

/** Throws FormatError. */
export function decodeExportContents(bytes: Uint8Array): ExportContents {
  return decodeSummed(bytes, (fields) => {
    fields.expect(FORMAT, VERSION);
    return {
      created: fields.text('created'),
      sets: fields.list('sets', EXPORT_SETS_MAX, (set) => ({
        name: nameIn(set, 'name'),
        encrypted: set.flag('encrypted'),
      })),
      points: fields.list('points', EXPORT_POINTS_MAX, (point) => ({
        ...placeIn(point),
        machine: nameIn(point, 'machine'),
        created: point.text('created'),
        disks: point.list('disks', POINT_DISKS_MAX, (disk) => ({
          name: nameIn(disk, 'name'),
          size: disk.integer('size', 1, Number.MAX_SAFE_INTEGER),
        })),
        frames: point.integer('frames', 0, Number.MAX_SAFE_INTEGER),
        bytes: point.integer('bytes', 0, Number.MAX_SAFE_INTEGER),
      })),
    };
  });
}

export function encodeExportIndex({ points }: ExportIndex): Uint8Array {
  return encodeSummed({
    format: INDEX_FORMAT,
    version: VERSION,
    points: points.map(({ reason, ...point }) => ({
      ...point,
      ...(reason !== undefined && { reason: cutText(reason) }),
    })),
  });
}

/** Throws FormatError. */
export function decodeExportIndex(bytes: Uint8Array): ExportIndex {
  return decodeSummed(bytes, (fields) => {
    fields.expect(INDEX_FORMAT, VERSION);
    return {
      points: fields.list('points', EXPORT_POINTS_MAX, (point) => ({
        ...placeIn(point),
        offset: point.has('offset')
          ? point.integer('offset', 0, Number.MAX_SAFE_INTEGER)
          : undefined,
        reason: point.optionalText('reason'),
      })),
    };
  });
}

function placeIn(point: Fields): { readonly set: number; readonly id: string } {
  return { set: point.integer('set', 0, EXPORT_SETS_MAX - 1), id: idIn(point, 'id') };
}
