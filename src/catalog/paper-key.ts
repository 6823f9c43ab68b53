import { domainKeys, type Secret, type SetKey } from '../formats/store/catalog/key-slot.ts';
import {
  isSealedBy,
  type SetRecord,
  SLOTS_MAX,
  sealSet,
} from '../formats/store/catalog/set-record.ts';
import { CUTTING_DEFAULT } from '../store/write/chunker.ts';
import { lockStore } from '../store/directory/store-lock.ts';
import type { Store } from '../store/directory/store.ts';
import { CatalogError } from './catalog-error.ts';
import { listPoints } from './points.ts';
import { readCopies, writeSetRecord } from './set-copies.ts';
import { lockDataKey, openDataKey } from './set-keys.ts';
import { setNames, unlockSet } from './sets.ts';

/*
 * A set's key outside the store, for paper: if both copies of the set's record are lost, or the passphrase is
 * forgotten, this key restores the record.
 */

/** Rejects WRONG_KEY, also if the set is not encrypted and so has no key. */
export async function exportSetKey(record: SetRecord, secret: Secret | undefined): Promise<SetKey> {
  if (record.slots.length === 0) {
    throw new CatalogError('WRONG_KEY', `set "${record.name}" is not encrypted, so it has no key`);
  }
  // This also checks that the record is authentic.
  await unlockSet(record, secret);
  return { dataKey: await openDataKey(record, secret!), domain: record.domain };
}

/**
 * Makes the record of a set again, with a new passphrase and a new recovery key: the former ones no longer open it,
 * unless a recovery point is locked. Rejects NOT_FOUND; WRONG_KEY if the key belongs to another set; FULL.
 */
export async function importSetKey(
  store: Store,
  name: string,
  {
    key,
    passphrase,
    isLocked,
  }: {
    readonly key: SetKey;
    readonly passphrase: Uint8Array;
    /** Whether a recovery point of it is locked: then what opens the set stays. */
    readonly isLocked: () => Promise<boolean>;
  },
): Promise<{
  readonly record: SetRecord;
  readonly recoveryKey: string;
  readonly isKept: boolean;
}> {
  await using _lock = await lockStore(store, `set import-key ${name}`);
  if (!(await setNames(store)).includes(name)) {
    throw new CatalogError('NOT_FOUND', `there is no backup set "${name}" in ${store.directory}`);
  }
  const keys = domainKeys(key.dataKey);
  const { record: old } = await readCopies(store, name);
  const { points, damaged } = await listPoints(store, name, keys);
  // The record may be lost, or belong to another set: then recovery points tell which key is the set's.
  const isOfRecord = old !== undefined && isSealedBy(old, keys.record);
  const isOfNothing = old !== undefined && !old.seal && damaged.length === 0;
  if (!isOfRecord && !isOfNothing && points.length === 0) {
    throw new CatalogError('WRONG_KEY', `this is not the key of set "${name}"`);
  }
  const { domain } = key;
  const kept = isOfRecord && (await isLocked()) ? old.slots : [];
  const { slots: added, recoveryKey } = await lockDataKey(store.random, key.dataKey, {
    domain,
    passphrase,
  });
  const slots = [...kept, ...added];
  if (slots.length > SLOTS_MAX) {
    const what = `set "${name}" has ${kept.length} passphrases and recovery keys, and none can be removed`;
    throw new CatalogError('FULL', `${what} while a recovery point is locked`);
  }
  const created = old?.created ?? store.clock.now().toISOString();
  const cutting = old?.cutting ?? CUTTING_DEFAULT;
  const counter = 1 + (old?.seal?.counter ?? 0);
  const record = sealSet({ name, created, domain, cutting, slots }, counter, keys.record);
  await writeSetRecord(store, record);
  return { record, recoveryKey, isKept: kept.length > 0 };
}
