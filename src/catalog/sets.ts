import { join } from 'node:path/posix';
import type { DomainKeys } from '../formats/store/frame.ts';
import {
  DATA_KEY_LENGTH,
  domainKeys,
  formatRecoveryKey,
  lockSlot,
  publicKeys,
  RECOVERY_KEY_LENGTH,
  type Secret,
  type SlotSecret,
  STRETCHED_LENGTH,
  unlockSlot,
} from '../formats/store/key-slot.ts';
import { isSummed } from '../formats/store/json-record.ts';
import { DOMAIN_LENGTH } from '../formats/store/pack.ts';
import {
  type Cutting,
  decodeSet,
  encodeSet,
  type KdfParameters,
  type KeySlot,
  SALT_LENGTH,
  type SetRecord,
  WRAP_NONCE_LENGTH,
} from '../formats/store/set-record.ts';
import { assert } from '../lib/assert.ts';
import { CUTTING_DEFAULT } from '../store/cutter.ts';
import { lockStore } from '../store/store-lock.ts';
import type { Store } from '../store/store.ts';
import { putDurably } from '../sys/put-durably.ts';
import { SystemError } from '../sys/system-error.ts';
import { argon2id } from '../sys/argon2.ts';
import type { Random } from '../sys/random.ts';
import type { World } from '../sys/world.ts';
import { CatalogError } from './catalog-error.ts';
import { checkName, isName } from './names.ts';
import { readRecord } from './read-record.ts';

/** A backup set whose keys are at hand. */
export interface OpenSet {
  readonly name: string;
  readonly record: SetRecord;
  readonly keys: DomainKeys;
}

export interface SetOptions {
  /** Encrypts the set. */
  readonly passphrase?: Uint8Array | undefined;
  readonly cutting?: Cutting | undefined;
}

/** See set-record.md: some 50 ms on a small appliance. */
const KDF = { memoryKiB: 46 * 1024, passes: 1 } as const satisfies Partial<KdfParameters>;
const RECORD_LENGTH_MAX = 64 * 1024;
const RECORD = 'set.json';
/** The same again: no single file may be the loss of a set's keys. */
const COPY = 'set.copy.json';

export function setDirectory(store: Store, set: string): string {
  return join(store.directory, 'sets', set);
}

/** The recovery key of an encrypted set is in the answer and nowhere else. */
export async function createSet(
  world: World,
  store: Store,
  name: string,
  { passphrase, cutting = CUTTING_DEFAULT }: SetOptions,
): Promise<{ readonly record: SetRecord; readonly recoveryKey: string | undefined }> {
  checkName(name, 'backup set');
  // Two that made the same set at once would each show a recovery key, one of them good for nothing.
  await using _lock = await lockStore(world, store, `set create ${name}`);
  const { files, random, clock } = world;
  const directory = setDirectory(store, name);
  const path = join(directory, RECORD);
  const copy = join(directory, COPY);
  if ((await files.stat(path)) ?? (await files.stat(copy))) {
    throw new CatalogError('EXISTS', `there is a set "${name}" already`);
  }
  if (await holdsPoints(world, store, name)) {
    throw new CatalogError(
      'EXISTS',
      `${directory} holds recovery points of a set "${name}" whose record is lost: a new set of ` +
        'that name would have another key; choose another name',
    );
  }
  for (const part of ['points', 'profiles']) await files.makeDirectory(join(directory, part));

  const domain = passphrase ? random.bytes(DOMAIN_LENGTH) : new Uint8Array(DOMAIN_LENGTH);
  const locked = passphrase && (await lockNew(random, domain, passphrase));
  const record: SetRecord = {
    name,
    created: clock.now().toISOString(),
    domain,
    cutting,
    slots: locked?.slots ?? [],
  };
  await files.syncDirectory(directory);
  await putDurably(files, path, encodeSet(record));
  await putDurably(files, copy, encodeSet(record));
  await files.syncDirectory(join(store.directory, 'sets'));
  return { record, recoveryKey: locked?.recoveryKey };
}

async function lockNew(random: Random, domain: Uint8Array, passphrase: Uint8Array) {
  const dataKey = random.bytes(DATA_KEY_LENGTH);
  const recovery = random.bytes(RECOVERY_KEY_LENGTH);
  const secrets: readonly Secret[] = [
    { kind: 'passphrase', passphrase },
    { kind: 'recovery-key', key: recovery },
  ];
  const slots: KeySlot[] = [];
  for (const secret of secrets) {
    const kdf = { ...KDF, salt: random.bytes(SALT_LENGTH) };
    const nonce = random.bytes(WRAP_NONCE_LENGTH);
    slots.push(lockSlot(dataKey, await slotSecret(secret, kdf), { domain, nonce, kdf }));
  }
  return { slots, recoveryKey: formatRecoveryKey(recovery) };
}

/** Rejects NOT_FOUND, CORRUPT. Needs no key. Either copy of the record is enough. */
export async function readSet(world: World, store: Store, name: string): Promise<SetRecord> {
  const { record, problems } = await readCopies(world, store, name);
  if (record) return record;
  const [first] = problems;
  if (!first) {
    throw new CatalogError('NOT_FOUND', `there is no backup set "${name}" in ${store.directory}`);
  }
  throw new CatalogError('CORRUPT', `the record of set "${name}" cannot be used: ${first.reason}`);
}

export interface SetList {
  readonly sets: readonly SetRecord[];
  /** Whose records cannot be read, neither copy: they hide no others. */
  readonly damaged: readonly (RecordProblem & { readonly set: string })[];
}

export async function listSets(world: World, store: Store): Promise<SetList> {
  const sets: SetRecord[] = [];
  const damaged: SetList['damaged'][number][] = [];
  for (const name of await setNames(world, store)) {
    const { record } = await readCopies(world, store, name);
    if (record) sets.push(record);
    else {
      const [first] = await checkSetRecords(world, store, name);
      // It may have been removed, or made whole, since it was looked at.
      if (first) damaged.push({ set: name, ...first });
    }
  }
  return { sets, damaged };
}

/** Names of all sets, sorted; also of those whose records are damaged, or lost while their points are there. */
export async function setNames(world: World, store: Store): Promise<string[]> {
  const { files } = world;
  const found: string[] = [];
  for (const name of await files.list(join(store.directory, 'sets'))) {
    if (!isName(name)) continue;
    const directory = setDirectory(store, name);
    // A crash may leave a directory that never became a set.
    const record =
      (await files.stat(join(directory, RECORD))) ?? (await files.stat(join(directory, COPY)));
    if (record || (await holdsPoints(world, store, name))) found.push(name);
  }
  return found;
}

export interface RecordProblem {
  readonly path: string;
  readonly reason: string;
}

/** What is wrong with the copies of a set's record. */
export async function checkSetRecords(
  world: World,
  store: Store,
  name: string,
): Promise<readonly RecordProblem[]> {
  const { record, problems } = await readCopies(world, store, name);
  if (record !== undefined || problems.length > 0) return problems;
  const reason = 'both copies of the record are missing: the key of the set is lost with them';
  return [{ path: join(setDirectory(store, name), RECORD), reason }];
}

/**
 * Writes again the copies of an opened set's record that are not as they should be. The caller holds the
 * store's lock.
 */
export async function mendSetRecord(
  world: World,
  store: Store,
  { name, record }: Pick<OpenSet, 'name' | 'record'>,
): Promise<void> {
  const directory = setDirectory(store, name);
  const bytes = encodeSet(record);
  for (const file of [RECORD, COPY]) {
    const path = join(directory, file);
    const { record: found, isSummed } = await readCopy(world, store, path, name);
    if (isSummed && found && Buffer.compare(encodeSet(found), bytes) === 0) continue;
    await putDurably(world.files, path, bytes);
  }
}

async function holdsPoints({ files }: World, store: Store, name: string): Promise<boolean> {
  const directory = join(setDirectory(store, name), 'points');
  if (!(await files.stat(directory))) return false;
  return (await files.list(directory)).some((file) => file.endsWith('.point'));
}

/**
 * The record as its two copies say. Releases before this one wrote one, without a checksum: where that differs from a
 * copy that has one, it was damaged. Damage does not leave two that differ and have checksums: neither is believed
 * then, and neither written over the other, which may hold the only slots that open the set.
 */
async function readCopies(
  world: World,
  store: Store,
  name: string,
): Promise<{ readonly record: SetRecord | undefined; readonly problems: RecordProblem[] }> {
  checkName(name, 'backup set');
  const directory = setDirectory(store, name);
  const path = join(directory, RECORD);
  const copyPath = join(directory, COPY);
  const first = await readCopy(world, store, path, name);
  const copy = await readCopy(world, store, copyPath, name);
  const problems = [first, copy].flatMap(({ problem }) => problem ?? []);
  const isOf = (it: SetRecord): string => Buffer.from(encodeSet(it)).toString('latin1');
  if (first.record && copy.record && isOf(first.record) !== isOf(copy.record)) {
    const reason = `${path} and ${copyPath} differ: one was altered; remove the one that is wrong`;
    problems.push({ path, reason });
    const isDamage = first.isSummed !== copy.isSummed;
    const whole = first.isSummed ? first.record : copy.record;
    return { record: isDamage ? whole : undefined, problems };
  }
  const isCopyMissing = first.isSummed && !copy.record && !copy.problem;
  if (isCopyMissing) problems.push({ path: copyPath, reason: `${copyPath} is missing` });
  if (copy.record && !first.record && !first.problem) {
    problems.push({ path, reason: `${path} is missing` });
  }
  return { record: first.record ?? copy.record, problems };
}

interface Copy {
  readonly record: SetRecord | undefined;
  readonly problem: RecordProblem | undefined;
  readonly isSummed: boolean;
}

/** Neither a record nor a problem: it is not there. */
async function readCopy({ files }: World, store: Store, path: string, name: string): Promise<Copy> {
  const none = { record: undefined, problem: undefined, isSummed: false };
  if (!(await files.stat(path))) return none;
  try {
    return await readRecord({ files, store }, path, RECORD_LENGTH_MAX, (bytes) => {
      const record = decodeSet(bytes);
      // A record under another set's name would bring that set's keys with it.
      if (record.name === name) return { record, problem: undefined, isSummed: isSummed(bytes) };
      throw new CatalogError('CORRUPT', `${path} is the record of set "${record.name}"`);
    });
  } catch (cause) {
    if (cause instanceof SystemError && cause.code === 'NOT_FOUND') return none;
    if (!(cause instanceof CatalogError)) throw cause;
    return { ...none, problem: { path, reason: cause.message } };
  }
}

/** Rejects WRONG_KEY: the secret opens none of the set's slots, or is missing. */
export async function unlockSet(record: SetRecord, secret: Secret | undefined): Promise<OpenSet> {
  const { name, slots, domain } = record;
  if (slots.length === 0) {
    if (!secret) return { name, record, keys: publicKeys() };
    throw new CatalogError(
      'WRONG_KEY',
      `set "${name}" says that it is not encrypted, but a key was given for it: if it was encrypted, ` +
        'somebody altered its record, and nothing in it may be trusted; if it never was, give no key',
    );
  }
  if (!secret) {
    throw new CatalogError('WRONG_KEY', `set "${name}" is encrypted: give its passphrase`);
  }
  for (const slot of slots) {
    if (slot.kind !== secret.kind) continue;
    const kdf = slot.kind === 'passphrase' ? slot.kdf : undefined;
    const dataKey = unlockSlot(slot, await slotSecret(secret, kdf), domain);
    if (dataKey) return { name, record, keys: domainKeys(dataKey) };
  }
  const what = secret.kind === 'passphrase' ? 'passphrase' : 'recovery key';
  throw new CatalogError('WRONG_KEY', `that is not the ${what} of set "${name}"`);
}

async function slotSecret(secret: Secret, kdf: KdfParameters | undefined): Promise<SlotSecret> {
  if (secret.kind === 'recovery-key') return secret;
  assert(kdf, 'a slot for a passphrase has parameters');
  const stretched = await argon2id(secret.passphrase, kdf, STRETCHED_LENGTH);
  return { kind: 'passphrase', stretched };
}
