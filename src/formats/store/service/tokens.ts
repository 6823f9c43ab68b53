import { timingSafeEqual } from 'node:crypto';
import { utf8 } from '../../../lib/bytes.ts';
import { DIGEST_LENGTH, keyedHash } from '../base/digest.ts';
import { decodeJsonRecord, encodeJsonRecord, type Fields, hex } from '../base/json-record.ts';

// Tokens: the credentials of other hosts. Grammar: tokens.md.

export interface TokenRecord {
  readonly name: string;
  readonly may: 'look' | 'manage';
  readonly files: boolean;
  readonly created: string;
  readonly expires: string | undefined;
  readonly hash: Uint8Array;
}

export const TOKENS_MAX = 1000;
export const TOKEN_LENGTH = 32;

const FORMAT = 'holdfast-tokens';
const VERSION = 1;
const PUBLIC = new Uint8Array(DIGEST_LENGTH);
const NONE = new Uint8Array(0);
const PREFIX = 'hft_';
const TEXT = /^hft_[\w-]{43}$/;

export function encodeTokens(tokens: readonly TokenRecord[]): Uint8Array {
  const list = tokens.map(({ hash, ...token }) => ({ ...token, hash: hex(hash) }));
  return encodeJsonRecord({ format: FORMAT, version: VERSION, tokens: list }, PUBLIC);
}

/** Throws FormatError. */
export function decodeTokens(bytes: Uint8Array): readonly TokenRecord[] {
  return decodeJsonRecord(bytes, PUBLIC, tokensOf);
}

function tokensOf(record: Fields): readonly TokenRecord[] {
  record.expect(FORMAT, VERSION);
  return record.list('tokens', TOKENS_MAX, (fields) => ({
    name: fields.text('name'),
    may: fields.oneOf('may', ['look', 'manage']),
    files: fields.flag('files'),
    created: fields.text('created'),
    expires: fields.optionalText('expires'),
    hash: fields.bytes('hash', DIGEST_LENGTH),
  }));
}

export function tokenText(secret: Uint8Array): string {
  return `${PREFIX}${Buffer.from(secret).toString('base64url')}`;
}

/** Undefined: the text cannot be a token. */
export function tokenHash(text: string): Uint8Array | undefined {
  return TEXT.test(text) ? keyedHash(NONE, utf8(text)) : undefined;
}

/** Takes the same time whichever token matches, and where none does. */
export function tokenOfHash(
  tokens: readonly TokenRecord[],
  hash: Uint8Array,
): TokenRecord | undefined {
  let found: TokenRecord | undefined;
  for (const token of tokens) if (timingSafeEqual(token.hash, hash)) found = token;
  return found;
}
