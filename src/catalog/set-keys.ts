import {
  DATA_KEY_LENGTH,
  formatRecoveryKey,
  lockSlot,
  RECOVERY_KEY_LENGTH,
  type Secret,
  type SlotSecret,
  STRETCHED_LENGTH,
  unlockSlot,
} from '../formats/store/catalog/key-slot.ts';
import {
  type KdfParameters,
  type KeySlot,
  SALT_LENGTH,
  type SetRecord,
  WRAP_NONCE_LENGTH,
} from '../formats/store/catalog/set-record.ts';
import { assert } from '../lib/assert.ts';
import { argon2id } from '../sys/crypto/argon2.ts';
import type { Random } from '../sys/base/random.ts';
import { CatalogError } from './catalog-error.ts';

/** See set-record.md: some 50 ms on a small appliance. */
const KDF = { memoryKiB: 46 * 1024, passes: 1 } as const satisfies Partial<KdfParameters>;

export const newDataKey = (random: Random): Uint8Array => random.bytes(DATA_KEY_LENGTH);

/** Makes new locks on a data key: a passphrase, and a recovery key that exists only in the result. */
export async function lockDataKey(
  random: Random,
  dataKey: Uint8Array,
  { domain, passphrase }: { readonly domain: Uint8Array; readonly passphrase: Uint8Array },
): Promise<{ readonly slots: readonly KeySlot[]; readonly recoveryKey: string }> {
  const recovery = random.bytes(RECOVERY_KEY_LENGTH);
  const secrets: readonly Secret[] = [
    { kind: 'passphrase', passphrase },
    { kind: 'recovery-key', key: recovery },
  ];
  const slots: KeySlot[] = [];
  for (const secret of secrets) slots.push(await newSlot(random, dataKey, { domain, secret }));
  return { slots, recoveryKey: formatRecoveryKey(recovery) };
}

/** One more lock on a data key. */
export async function newSlot(
  random: Random,
  dataKey: Uint8Array,
  { domain, secret }: { readonly domain: Uint8Array; readonly secret: Secret },
): Promise<KeySlot> {
  const kdf = { ...KDF, salt: random.bytes(SALT_LENGTH) };
  const nonce = random.bytes(WRAP_NONCE_LENGTH);
  return lockSlot(dataKey, await slotSecret(secret, kdf), { domain, nonce, kdf });
}

/** The data key; undefined: the secret does not open this slot. */
export async function openSlot(
  slot: KeySlot,
  secret: Secret,
  domain: Uint8Array,
): Promise<Uint8Array | undefined> {
  if (slot.kind !== secret.kind) return undefined;
  const kdf = slot.kind === 'passphrase' ? slot.kdf : undefined;
  return unlockSlot(slot, await slotSecret(secret, kdf), domain);
}

/** Opens the data key of an encrypted set. Rejects WRONG_KEY if the secret opens none of its slots. */
export async function openDataKey(
  { name, slots, domain }: SetRecord,
  secret: Secret,
): Promise<Uint8Array> {
  for (const slot of slots) {
    const dataKey = await openSlot(slot, secret, domain);
    if (dataKey) return dataKey;
  }
  const what = secret.kind === 'passphrase' ? 'passphrase' : 'recovery key';
  throw new CatalogError('WRONG_KEY', `this is not the ${what} of set "${name}"`);
}

async function slotSecret(secret: Secret, kdf: KdfParameters | undefined): Promise<SlotSecret> {
  if (secret.kind === 'recovery-key') return secret;
  assert(kdf, 'a slot for a passphrase has parameters');
  const stretched = await argon2id(secret.passphrase, kdf, STRETCHED_LENGTH);
  return { kind: 'passphrase', stretched };
}
