import { FormatError } from '../../format-error.ts';
import {
  type Feature,
  isFeature,
  type Needs,
  needsOf,
  NEW_STORE_FEATURES,
} from '../base/features.ts';
import { PACK_NUMBER_MAX } from '../packs/pack.ts';
import { decodeSummed, encodeSummed, type Fields } from '../base/json-record.ts';

// What makes a directory a store, and the features that a release must know to use it. Grammar: features.md.

export interface StoreRecord {
  readonly id: string;
  readonly created: string;
  readonly version: 1 | 2;
  /** Empty for version 1. */
  readonly needs: Needs;
  /**
   * From this number on, numbers of packs have no gaps; undefined, in a store of version 2: there are none at all.
   */
  readonly gaplessFrom?: number | undefined;
}

const FORMAT = 'holdfast-store';
const STORE_VERSION = 2;
/** Far more features than there will ever be. */
const FEATURES_MAX = 256;
const NO_NEEDS: Needs = { read: [], write: [] };

export function encodeStoreRecord(record: StoreRecord): Uint8Array {
  const { id, created, version, needs, gaplessFrom } = record;
  return encodeSummed({
    ...{ format: FORMAT, version, id, created },
    ...(version > 1 && { needs, gaplessFrom }),
  });
}

/** Throws FormatError; UNSUPPORTED for a version of a later release. */
export function decodeStoreRecord(bytes: Uint8Array): StoreRecord {
  return decodeSummed(bytes, recordOf);
}

function recordOf(fields: Fields): StoreRecord {
  if (!fields.has('format') || fields.text('format') !== FORMAT) {
    throw new FormatError('BAD_MAGIC', 'it does not describe a Holdfast store');
  }
  const version = fields.integer('version', 1, Number.MAX_SAFE_INTEGER);
  if (version > STORE_VERSION) {
    const what = `version ${version}, this release reads 1 to ${STORE_VERSION}`;
    throw new FormatError('UNSUPPORTED', what);
  }
  const [id, created] = [fields.text('id'), fields.text('created')];
  if (version === 1) return { id, created, version, needs: NO_NEEDS };
  if (!fields.has('sum')) throw new FormatError('CORRUPT', 'its checksum is missing');
  const needs = fields.object('needs');
  const [read, write] = [needs.texts('read', FEATURES_MAX), needs.texts('write', FEATURES_MAX)];
  const gaplessFrom = fields.has('gaplessFrom')
    ? fields.integer('gaplessFrom', 0, PACK_NUMBER_MAX + 1)
    : undefined;
  const found = { id, created, version: STORE_VERSION, needs: { read, write } } as const;
  return gaplessFrom === undefined ? found : { ...found, gaplessFrom };
}

/** The features of the store that this release knows. */
export function featuresOf({ needs }: Pick<StoreRecord, 'needs'>): ReadonlySet<Feature> {
  return new Set([...needs.read, ...needs.write].filter(isFeature));
}

export function newStoreRecord(id: string, created: Date): StoreRecord {
  return {
    ...{ id, created: created.toISOString(), version: STORE_VERSION },
    needs: needsOf(NEW_STORE_FEATURES),
  };
}
