import { createCipheriv, createDecipheriv } from 'node:crypto';
import { concatBytes, utf8 } from '../../../lib/bytes.ts';
import { keyedHash } from '../base/digest.ts';
import type { DomainKeys } from '../packs/frame.ts';
import { DOMAIN_LENGTH } from '../packs/pack.ts';
import type { KdfParameters, KeySlot, WrappedKey } from './set-record.ts';

// The locks on a set's data key and what is derived from it. Argument: set-record.md.

export const DATA_KEY_LENGTH = 32;
export const RECOVERY_KEY_LENGTH = 32;
const TAG_LENGTH = 16;

/** A secret that may open a set. */
export type Secret =
  | { readonly kind: 'passphrase'; readonly passphrase: Uint8Array }
  | { readonly kind: 'recovery-key'; readonly key: Uint8Array };

/**
 * A secret as slots take it, 32 bytes. For a passphrase, the result of Argon2id with the slot's parameters: that
 * takes long on purpose and so is not done here.
 */
export type SlotSecret =
  | { readonly kind: 'passphrase'; readonly stretched: Uint8Array }
  | { readonly kind: 'recovery-key'; readonly key: Uint8Array };

export const STRETCHED_LENGTH = 32;

/** Wraps the data key; `kdf` is only for passphrases. `nonce` and the salt are fresh random bytes. */
export function lockSlot(
  dataKey: Uint8Array,
  secret: SlotSecret,
  {
    domain,
    nonce,
    kdf,
  }: { readonly domain: Uint8Array; readonly nonce: Uint8Array; readonly kdf: KdfParameters },
): KeySlot {
  const key = slotKey(secret);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(boundTo(domain, secret.kind));
  const body = concatBytes(cipher.update(dataKey), cipher.final());
  const wrapped: WrappedKey = { nonce, wrapped: concatBytes(body, cipher.getAuthTag()) };
  if (secret.kind === 'passphrase') return { kind: 'passphrase', kdf, ...wrapped };
  return { kind: 'recovery-key', ...wrapped };
}

/** The data key; undefined: another secret locked it. */
export function unlockSlot(
  slot: KeySlot,
  secret: SlotSecret,
  domain: Uint8Array,
): Uint8Array | undefined {
  if (slot.kind !== secret.kind) return undefined;
  const key = slotKey(secret);
  const cipher = createDecipheriv('aes-256-gcm', key, slot.nonce, { authTagLength: TAG_LENGTH });
  cipher.setAAD(boundTo(domain, slot.kind));
  cipher.setAuthTag(slot.wrapped.subarray(-TAG_LENGTH));
  try {
    return concatBytes(cipher.update(slot.wrapped.subarray(0, -TAG_LENGTH)), cipher.final());
  } catch {
    return undefined;
  }
}

export function domainKeys(dataKey: Uint8Array): DomainKeys {
  const derived = (use: string): Uint8Array => keyedHash(dataKey, utf8(`holdfast 1 ${use}`));
  return {
    ...{ digest: derived('digest'), frame: derived('frame') },
    ...{ record: derived('record'), overlay: derived('overlay') },
  };
}

/** The keys that all unencrypted sets share; they are public. */
export function publicKeys(): DomainKeys {
  const constant = (use: string): Uint8Array =>
    keyedHash(new Uint8Array(DATA_KEY_LENGTH), utf8(`holdfast 1 public ${use}`));
  return {
    ...{ digest: constant('digest'), frame: undefined },
    ...{ record: constant('record'), overlay: constant('overlay') },
  };
}

function slotKey(secret: SlotSecret): Uint8Array {
  if (secret.kind === 'passphrase') return secret.stretched;
  return keyedHash(secret.key, utf8('holdfast 1 recovery slot'));
}

function boundTo(domain: Uint8Array, kind: KeySlot['kind']): Uint8Array {
  return concatBytes(utf8(`holdfast 1 slot ${kind}`), domain);
}

/** The text for paper: the key and 24 bits of checksum. */
export function formatRecoveryKey(key: Uint8Array): string {
  return paperText(concatBytes(key, checkOf(key, 'recovery key', CHECK_LENGTH)));
}

/** The key from the text that a person typed; undefined: mistyped. */
export function parseRecoveryKey(text: string): Uint8Array | undefined {
  const bytes = paperBytes(text, RECOVERY_KEY_LENGTH + CHECK_LENGTH);
  const key = bytes?.slice(0, RECOVERY_KEY_LENGTH);
  if (!bytes || !key) return undefined;
  const check = checkOf(key, 'recovery key', CHECK_LENGTH);
  return Buffer.compare(bytes.subarray(RECOVERY_KEY_LENGTH), check) === 0 ? key : undefined;
}

/** All that is needed to make the record of a set again: its owner needs no passphrase. */
export interface SetKey {
  readonly dataKey: Uint8Array;
  readonly domain: Uint8Array;
}

const SET_KEY_VERSION = 1;
const SET_KEY_LENGTH = 1 + DATA_KEY_LENGTH + DOMAIN_LENGTH;
/** Chosen so that the whole text consists of groups of four digits. */
const SET_KEY_CHECK_LENGTH = 6;

/** The text for paper: version, data key, domain, and 48 bits of checksum: 22 groups. */
export function formatSetKey({ dataKey, domain }: SetKey): string {
  const body = concatBytes(Uint8Array.of(SET_KEY_VERSION), concatBytes(dataKey, domain));
  return paperText(concatBytes(body, checkOf(body, 'set key', SET_KEY_CHECK_LENGTH)));
}

/** The set key from the text that a person typed; undefined: mistyped. */
export function parseSetKey(text: string): SetKey | undefined {
  const bytes = paperBytes(text, SET_KEY_LENGTH + SET_KEY_CHECK_LENGTH);
  const body = bytes?.slice(0, SET_KEY_LENGTH);
  if (!bytes || !body || body[0] !== SET_KEY_VERSION) return undefined;
  const check = checkOf(body, 'set key', SET_KEY_CHECK_LENGTH);
  if (Buffer.compare(bytes.subarray(SET_KEY_LENGTH), check) !== 0) return undefined;
  return { dataKey: body.slice(1, 1 + DATA_KEY_LENGTH), domain: body.slice(1 + DATA_KEY_LENGTH) };
}

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CHECK_LENGTH = 3;

/** Base 32 (Crockford's), in groups of four; `bytes` is a multiple of five long. */
function paperText(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const digits = bits.match(/.{5}/g)!.map((five) => ALPHABET[Number.parseInt(five, 2)]);
  return digits.join('').match(/.{4}/g)!.join('-');
}

/** Undefined: not exactly `length` bytes. */
function paperBytes(text: string, length: number): Uint8Array | undefined {
  const digits = text.toUpperCase().replace(/[\s-]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
  const values = digits.split('').map((digit) => ALPHABET.indexOf(digit));
  if (values.length !== (8 * length) / 5 || values.includes(-1)) return undefined;
  const bits = values.map((value) => value.toString(2).padStart(5, '0')).join('');
  return Uint8Array.from(bits.match(/.{8}/g)!, (byte) => Number.parseInt(byte, 2));
}

function checkOf(bytes: Uint8Array, what: string, length: number): Uint8Array {
  return keyedHash(bytes, utf8(`holdfast 1 ${what}`)).subarray(0, length);
}
