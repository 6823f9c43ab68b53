import { join } from 'node:path/posix';
import type { DomainKeys } from '../formats/store/packs/frame.ts';
import { domainKeys, publicKeys, type Secret } from '../formats/store/catalog/key-slot.ts';
import { DOMAIN_LENGTH } from '../formats/store/packs/pack.ts';
import { isName } from '../formats/store/base/names.ts';
import {
  type Cutting,
  isSealedBy,
  type SetRecord,
  sealSet,
} from '../formats/store/catalog/set-record.ts';
import { CUTTING_DEFAULT } from '../store/write/chunker.ts';
import { lockStore } from '../store/directory/store-lock.ts';
import type { Store } from '../store/directory/store.ts';
import { CatalogError } from './catalog-error.ts';
import { checkName } from './names.ts';
import {
  checkSetRecords,
  hasSetRecord,
  type RecordProblem,
  readCopies,
  RECORD_MISSING,
  setDirectory,
  writeSetRecord,
} from './set-copies.ts';
import { lockDataKey, newDataKey, openDataKey } from './set-keys.ts';

/** A backup set with its keys. */
export interface OpenSet {
  readonly name: string;
  readonly record: SetRecord;
  readonly keys: DomainKeys;
  /** When locks of points that are made now begin, since 1970. */
  readonly lockBegin?: () => Promise<number>;
}

export interface SetOptions {
  /** Encrypts the set. */
  readonly passphrase?: Uint8Array | undefined;
  readonly cutting?: Cutting | undefined;
}

/** The most sets that a message names when a set is not found. */
const NAMED_MAX = 10;

/** Creates a set. The recovery key of an encrypted one exists only in the result. */
export async function createSet(
  store: Store,
  name: string,
  { passphrase, cutting = CUTTING_DEFAULT }: SetOptions,
): Promise<{ readonly record: SetRecord; readonly recoveryKey: string | undefined }> {
  checkName(name, 'backup set');
  // Two processes creating the same set at once would each show a recovery key, one of them useless.
  await using _lock = await lockStore(store, `set create ${name}`);
  const { random, clock } = store;
  const directory = setDirectory(store, name);
  if (await hasSetRecord(store, name)) {
    throw new CatalogError('EXISTS', `there is a set "${name}" already`);
  }
  if (await holdsPoints(store, name)) {
    throw new CatalogError(
      'EXISTS',
      `${directory} holds recovery points of a set "${name}" whose record is lost: a new set of ` +
        'that name would have another key; choose another name',
    );
  }
  const domain = passphrase ? random.bytes(DOMAIN_LENGTH) : new Uint8Array(DOMAIN_LENGTH);
  const dataKey = passphrase && newDataKey(random);
  const locked = dataKey && (await lockDataKey(random, dataKey, { domain, passphrase }));
  const record = sealSet(
    { name, created: clock.now().toISOString(), domain, cutting, slots: locked?.slots ?? [] },
    1,
    (dataKey ? domainKeys(dataKey) : publicKeys()).record,
  );
  await beginSet(store, record);
  return { record, recoveryKey: locked?.recoveryKey };
}

/** Writes the record of a set that the store does not have. The caller holds the store's lock. */
export async function beginSet(store: Store, record: SetRecord): Promise<void> {
  const { files } = store;
  const directory = setDirectory(store, record.name);
  for (const part of ['points', 'profiles']) await files.makeDirectory(join(directory, part));
  await files.syncDirectory(directory);
  await writeSetRecord(store, record);
  await files.syncDirectory(join(store.directory, 'sets'));
}

/** The same set under another name: it has the same keys, and opens with the same secrets. */
export function renamedSet({ record, keys }: OpenSet, name: string): OpenSet {
  checkName(name, 'backup set');
  const { seal, ...rest } = record;
  return { name, keys, record: sealSet({ ...rest, name }, seal?.counter ?? 1, keys.record) };
}

/** Rejects NOT_FOUND, CORRUPT. Needs no key; either copy of the record is enough. */
export async function readSet(store: Store, name: string): Promise<SetRecord> {
  const { record, problems } = await readCopies(store, name);
  if (record) return record;
  const [first] = problems;
  if (first) {
    throw new CatalogError(
      'CORRUPT',
      `the record of set "${name}" cannot be used: ${first.reason}`,
    );
  }
  const names = await setNames(store);
  if (!names.includes(name)) throw noSet(store, name, names);
  throw new CatalogError('CORRUPT', `the record of set "${name}" is lost: ${RECORD_MISSING}`);
}

export function noSet(store: Store, name: string, names: readonly string[]): CatalogError {
  const has = names.length === 0 ? 'no set' : names.slice(0, NAMED_MAX).join(', ');
  const more = names.length > NAMED_MAX ? ', and others' : '';
  const message = `there is no backup set "${name}" in ${store.directory}: it has ${has}${more}`;
  return new CatalogError('NOT_FOUND', message);
}

export interface SetList {
  readonly sets: readonly SetRecord[];
  /** Sets of which neither copy of the record can be read: they do not hide others. */
  readonly damaged: readonly (RecordProblem & { readonly set: string })[];
}

export async function listSets(store: Store): Promise<SetList> {
  const sets: SetRecord[] = [];
  const damaged: SetList['damaged'][number][] = [];
  for (const name of await setNames(store)) {
    const { record } = await readCopies(store, name);
    if (record) sets.push(record);
    else {
      const [first] = await checkSetRecords(store, name);
      // It may have been removed, or repaired, in the meantime.
      if (first) damaged.push({ set: name, ...first });
    }
  }
  return { sets, damaged };
}

/** Names of all sets, sorted, including sets with a damaged record, or with points and a lost record. */
export async function setNames(store: Store): Promise<string[]> {
  const { files } = store;
  const found: string[] = [];
  for (const name of await files.list(join(store.directory, 'sets'))) {
    if (!isName(name)) continue;
    // A crash may leave a directory that did not become a set.
    if ((await hasSetRecord(store, name)) || (await holdsPoints(store, name))) {
      found.push(name);
    }
  }
  return found;
}

async function holdsPoints(store: Store, name: string): Promise<boolean> {
  const { files } = store;
  const directory = join(setDirectory(store, name), 'points');
  if (!(await files.stat(directory))) return false;
  return (await files.list(directory)).some((file) => file.endsWith('.point'));
}

/**
 * Rejects WRONG_KEY: the secret is missing, or opens none of the set's slots. CORRUPT: the record differs from the
 * sealed one.
 */
export async function unlockSet(record: SetRecord, secret: Secret | undefined): Promise<OpenSet> {
  const { name, slots, seal } = record;
  if (slots.length === 0 && secret) {
    throw new CatalogError(
      'WRONG_KEY',
      `set "${name}" claims not to be encrypted, but a key was given for it: if it was encrypted, ` +
        'its record was altered, and nothing in it may be trusted; if it never was, give no key',
    );
  }
  if (slots.length > 0 && !secret) {
    throw new CatalogError('WRONG_KEY', `set "${name}" is encrypted: give its passphrase`);
  }
  const keys = secret ? domainKeys(await openDataKey(record, secret)) : publicKeys();
  if (seal && !isSealedBy(record, keys.record)) {
    const what = `the record of set "${name}" was altered: it does not match its key`;
    throw new CatalogError('CORRUPT', `${what}; remove the wrong copy`);
  }
  return { name, record, keys };
}
