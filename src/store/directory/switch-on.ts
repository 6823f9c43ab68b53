import { type Feature, type FeatureFromUse, needsOf } from '../../formats/store/base/features.ts';
import { featuresOf } from '../../formats/store/catalog/store-record.ts';
import { StoreError } from '../packs/store-error.ts';
import { writeStoreRecord } from './store-record.ts';
import type { Store } from './store.ts';

/**
 * Gives the store a feature that begins with its first use, so that earlier releases keep away from what they do not
 * know; durable once it resolves. The caller holds the store's lock. Rejects UNSUPPORTED in a store of the previous
 * release.
 */
export async function switchOn(store: Store, feature: FeatureFromUse): Promise<void> {
  if (store.has(feature)) return;
  const { record, directory, files } = store;
  if (record.version === 1) {
    throw new StoreError(
      'UNSUPPORTED',
      `${directory} is a store of the previous release, which would misread what is changed here: ` +
        'upgrade it first with "holdfast store upgrade"',
    );
  }
  const own: readonly Feature[] = [...featuresOf(record), feature];
  const needs = needsOf(own);
  const next = { ...record, needs };
  await writeStoreRecord(files, directory, next);
  store.renew(next);
}
