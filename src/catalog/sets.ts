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
import { argon2id } from '../sys/argon2.ts';
import type { Random } from '../sys/random.ts';
import type { World } from '../sys/world.ts';
import { CatalogError } from './catalog-error.ts';
import { checkName } from './names.ts';
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
  const path = join(directory, 'set.json');
  if (await files.stat(path)) throw new CatalogError('EXISTS', `there is a set "${name}" already`);
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

/** Rejects NOT_FOUND, CORRUPT. Needs no key. */
export async function readSet({ files }: World, store: Store, name: string): Promise<SetRecord> {
  const path = join(setDirectory(store, name), 'set.json');
  checkName(name, 'backup set');
  if (!(await files.stat(path))) {
    throw new CatalogError('NOT_FOUND', `there is no backup set "${name}" in ${store.directory}`);
  }
  return readRecord(files, path, RECORD_LENGTH_MAX, decodeSet);
}

export async function listSets(world: World, store: Store): Promise<SetRecord[]> {
  const names = await world.files.list(join(store.directory, 'sets'));
  const whole: SetRecord[] = [];
  for (const name of names) {
    // A crash may leave a directory that never became a set.
    if (await world.files.stat(join(setDirectory(store, name), 'set.json'))) {
      whole.push(await readSet(world, store, name));
    }
  }
  return whole;
}

/** Rejects WRONG_KEY: the secret opens none of the set's slots, or is missing. */
export async function unlockSet(record: SetRecord, secret: Secret | undefined): Promise<OpenSet> {
  const { name, slots, domain } = record;
  if (slots.length === 0) return { name, record, keys: publicKeys() };
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
