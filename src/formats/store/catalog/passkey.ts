import { timingSafeEqual } from 'node:crypto';
import { utf8 } from '../../../lib/bytes.ts';
import { DIGEST_LENGTH, keyedHash } from '../base/digest.ts';
import { decodeSummed, encodeSummed, type Fields, hex } from '../base/json-record.ts';
import { nameIn } from '../base/names.ts';
import { type KdfParameters, kdfOf } from './set-record.ts';

// The passkey of a set, as it is recognized. Grammar: passkey.md.

export interface PasskeyRecord {
  readonly set: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly kdf: KdfParameters;
  readonly verifier: Uint8Array;
}

/** Bytes that Argon2id makes of a passkey. */
export const STRETCHED_PASSKEY_LENGTH = 32;
const FORMAT = 'holdfast-passkey';
const VERSION = 1;

export function encodePasskey({ set, created, kdf, verifier }: PasskeyRecord): Uint8Array {
  return encodeSummed({
    ...{ format: FORMAT, version: VERSION, set, created },
    kdf: { ...kdf, salt: hex(kdf.salt) },
    verifier: hex(verifier),
  });
}

/** Throws FormatError. */
export function decodePasskey(bytes: Uint8Array): PasskeyRecord {
  return decodeSummed(bytes, recordOf);
}

function recordOf(fields: Fields): PasskeyRecord {
  fields.expect(FORMAT, VERSION);
  return {
    set: nameIn(fields, 'set'),
    created: fields.text('created'),
    kdf: kdfOf(fields.object('kdf')),
    verifier: fields.bytes('verifier', DIGEST_LENGTH),
  };
}

/** `stretched`: the result of Argon2id, which takes long on purpose and so is not done here. */
export function passkeyVerifier(stretched: Uint8Array): Uint8Array {
  return keyedHash(stretched, utf8('holdfast 1 passkey'));
}

/** Whether the passkey is the right one; takes the same time wherever the two differ. */
export function isPasskey({ verifier }: PasskeyRecord, stretched: Uint8Array): boolean {
  return timingSafeEqual(passkeyVerifier(stretched), verifier);
}
