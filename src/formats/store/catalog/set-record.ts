import { utf8 } from '../../../lib/bytes.ts';
import { DIGEST_LENGTH, keyedHash } from '../base/digest.ts';
import { DOMAIN_LENGTH } from '../packs/pack.ts';
import { decodeSummed, encodeSummed, type Fields, hex } from '../base/json-record.ts';

// A backup set: how its disks are cut into blocks, and the locks on its data key. Grammar: set-record.md.

export interface SetRecord {
  readonly name: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  /** The domain in its packs' headers; all zeros where the set is not encrypted. */
  readonly domain: Uint8Array;
  readonly cutting: Cutting;
  /** Ways to the data key; none: the set is not encrypted. */
  readonly slots: readonly KeySlot[];
  /** Undefined: from a release that wrote none. */
  readonly seal: SetSeal | undefined;
}

/** Authenticates a record, and says which of two is newer. */
export interface SetSeal {
  /** Higher in each record of the set than in those before it. */
  readonly counter: number;
  /** Authenticates all the rest, under the set's record key. */
  readonly mac: Uint8Array;
}

/** How segments are cut into blocks; see ../../store/cutting.md. */
export type Cutting =
  | { readonly kind: 'fixed'; readonly pages: number }
  | {
      readonly kind: 'content';
      readonly pagesMin: number;
      readonly pagesAverage: number;
      readonly pagesMax: number;
    };

/** The data key, wrapped by a key that can be derived only from the passphrase or the recovery key. */
export type KeySlot =
  | ({ readonly kind: 'passphrase'; readonly kdf: KdfParameters } & WrappedKey)
  | ({ readonly kind: 'recovery-key' } & WrappedKey);

/** Argon2id (RFC 9106), one lane. */
export interface KdfParameters {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly salt: Uint8Array;
}

export interface WrappedKey {
  readonly nonce: Uint8Array;
  /** The data key and its tag. */
  readonly wrapped: Uint8Array;
}

export const SALT_LENGTH = 16;
export const WRAP_NONCE_LENGTH = 12;
const WRAPPED_LENGTH = 32 + 16;
/** A hostile record must not make us take all memory. */
const KDF_MEMORY_MAX_KIB = 1024 * 1024;
const KDF_PASSES_MAX = 16;
const FORMAT = 'holdfast-set';
const VERSION = 1;
export const SLOTS_MAX = 16;
const SEGMENT_PAGES = 256;
/** Pages in the largest block that a frame may hold. */
const BLOCK_PAGES_MAX = 64;

export function encodeSet({ seal, ...record }: SetRecord): Uint8Array {
  return encodeSummed({
    ...fieldsIn(record, seal?.counter),
    ...(seal && { mac: hex(seal.mac) }),
  });
}

/** The record with a seal; `key`: the set's record key. */
export function sealSet(record: UnsealedSet, counter: number, key: Uint8Array): SetRecord {
  return { ...record, seal: { counter, mac: macOf(record, counter, key) } };
}

/** Whether its seal was made with the set's record key. */
export function isSealedBy({ seal, ...record }: SetRecord, key: Uint8Array): boolean {
  return seal !== undefined && hex(macOf(record, seal.counter, key)) === hex(seal.mac);
}

export type UnsealedSet = Omit<SetRecord, 'seal'>;

function macOf(record: UnsealedSet, counter: number, key: Uint8Array): Uint8Array {
  return Uint8Array.from(keyedHash(key, utf8(JSON.stringify(fieldsIn(record, counter)))));
}

/** Always in the same order. */
function fieldsIn(
  { name, created, domain, cutting, slots }: UnsealedSet,
  counter: number | undefined,
): object {
  return {
    format: FORMAT,
    version: VERSION,
    name,
    created,
    domain: hex(domain),
    cutting: cuttingIn(cutting),
    slots: slots.map((slot) => ({
      kind: slot.kind,
      ...(slot.kind === 'passphrase' && { kdf: { ...slot.kdf, salt: hex(slot.kdf.salt) } }),
      nonce: hex(slot.nonce),
      wrapped: hex(slot.wrapped),
    })),
    ...(counter !== undefined && { counter }),
  };
}

function cuttingIn(cutting: Cutting): Cutting {
  if (cutting.kind === 'fixed') return { kind: cutting.kind, pages: cutting.pages };
  const { kind, pagesMin, pagesAverage, pagesMax } = cutting;
  return { kind, pagesMin, pagesAverage, pagesMax };
}

export function decodeSet(bytes: Uint8Array): SetRecord {
  return decodeSummed(bytes, setOf);
}

function setOf(fields: Fields): SetRecord {
  fields.expect(FORMAT, VERSION);
  return {
    name: fields.text('name'),
    created: fields.text('created'),
    domain: fields.bytes('domain', DOMAIN_LENGTH),
    cutting: cuttingOf(fields.object('cutting')),
    slots: fields.list('slots', SLOTS_MAX, slotOf),
    seal: fields.has('mac') ? sealIn(fields) : undefined,
  };
}

function sealIn(fields: Fields): SetSeal {
  const counter = fields.integer('counter', 1, Number.MAX_SAFE_INTEGER);
  return { counter, mac: fields.bytes('mac', DIGEST_LENGTH) };
}

function cuttingOf(fields: Fields): Cutting {
  if (fields.oneOf('kind', ['fixed', 'content']) === 'fixed') {
    return { kind: 'fixed', pages: fields.integer('pages', 1, BLOCK_PAGES_MAX) };
  }
  const pagesMax = fields.integer('pagesMax', 1, Math.min(BLOCK_PAGES_MAX, SEGMENT_PAGES));
  const pagesAverage = fields.integer('pagesAverage', 2, pagesMax);
  const pagesMin = fields.integer('pagesMin', 1, pagesAverage - 1);
  return { kind: 'content', pagesMin, pagesAverage, pagesMax };
}

function slotOf(fields: Fields): KeySlot {
  const wrapped = {
    nonce: fields.bytes('nonce', WRAP_NONCE_LENGTH),
    wrapped: fields.bytes('wrapped', WRAPPED_LENGTH),
  };
  if (fields.oneOf('kind', ['passphrase', 'recovery-key']) === 'recovery-key') {
    return { kind: 'recovery-key', ...wrapped };
  }
  return { kind: 'passphrase', ...wrapped, kdf: kdfOf(fields.object('kdf')) };
}

/** Parameters that a record of the store carries. */
export function kdfOf(fields: Fields): KdfParameters {
  return {
    memoryKiB: fields.integer('memoryKiB', 8, KDF_MEMORY_MAX_KIB),
    passes: fields.integer('passes', 1, KDF_PASSES_MAX),
    salt: fields.bytes('salt', SALT_LENGTH),
  };
}
