import { decodeSummed, encodeSummed, hex } from '../base/json-record.ts';
import { nameIn } from '../base/names.ts';
import { DOMAIN_LENGTH, PACK_NUMBER_MAX } from '../packs/pack.ts';
import type { SetRecord } from './set-record.ts';

// The sets that were removed: removed-sets.json in the store. Its row is in json-record.md.

const FORMAT = 'holdfast-removed-sets';
const VERSION = 1;
/** The oldest are left out beyond that: by then their blocks have been given back. */
const REMOVED_SETS_MAX = 1000;
export const REMOVED_SETS_LENGTH_MAX = 512 * REMOVED_SETS_MAX;

/** `created` distinguishes it from a later set of its name. */
export interface RemovedSet extends Pick<SetRecord, 'name' | 'created' | 'domain'> {
  /** ISO 8601, UTC. */
  readonly removed: string;
  /** The greatest number of a pack at that time. */
  readonly lastPack: number;
}

export function encodeRemovedSets(sets: readonly RemovedSet[]): Uint8Array {
  return encodeSummed({
    ...{ format: FORMAT, version: VERSION },
    sets: sets.slice(-REMOVED_SETS_MAX).map(({ name, created, domain, removed, lastPack }) => ({
      ...{ name, created, domain: hex(domain), removed, lastPack },
    })),
  });
}

/** Throws FormatError. */
export function decodeRemovedSets(bytes: Uint8Array): readonly RemovedSet[] {
  return decodeSummed(bytes, (fields) => {
    fields.expect(FORMAT, VERSION);
    return fields.list('sets', REMOVED_SETS_MAX, (set) => ({
      name: nameIn(set, 'name'),
      created: set.text('created'),
      domain: set.bytes('domain', DOMAIN_LENGTH),
      removed: set.text('removed'),
      lastPack: set.integer('lastPack', 0, PACK_NUMBER_MAX),
    }));
  });
}
