import { createCipheriv, createHash, randomBytes, scryptSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/*
 * A repository of restic, version 1, that has snapshots and no data: enough for "restic forget --dry-run". Written
 * here, since "restic backup" takes half a second for each of thousands of snapshots. Grammar: restic's doc/design.rst.
 */
export interface Snapshot {
  /** RFC 3339, with the offset of the time zone in which restic will run. */
  readonly time: string;
  readonly tag: string;
}

export const PASSWORD = 'calendar';

interface Key {
  readonly encrypt: Buffer;
  readonly k: Buffer;
  readonly r: Buffer;
}

/** Returns the IDs of the snapshots, in their order. */
export function writeResticRepository(home: string, snapshots: readonly Snapshot[]): string[] {
  for (const name of ['data', 'index', 'keys', 'locks', 'snapshots']) {
    mkdirSync(join(home, name), { recursive: true });
  }
  const key: Key = { encrypt: randomBytes(32), k: randomBytes(16), r: randomBytes(16) };
  const salt = randomBytes(64);
  // Weak on purpose: restic derives a key each time that it starts.
  const cost = { N: 1024, r: 8, p: 1 };
  const derived = scryptSync(PASSWORD, salt, 64, cost);
  const own = {
    encrypt: derived.subarray(0, 32),
    k: derived.subarray(32, 48),
    r: derived.subarray(48),
  };
  const inside = { mac: { k: base64(key.k), r: base64(key.r) }, encrypt: base64(key.encrypt) };
  const record = {
    ...{ created: '2024-01-01T00:00:00Z', username: 'test', hostname: 'test', kdf: 'scrypt' },
    ...{ ...cost, salt: base64(salt), data: base64(sealed(json(inside), own)) },
  };
  put(home, 'keys', json(record));
  const config = { version: 1, id: 'c'.repeat(64), chunker_polynomial: '25b468838dcb75' };
  writeFileSync(join(home, 'config'), sealed(json(config), key));
  return snapshots.map(({ time, tag }) => {
    const about = { tree: 'a'.repeat(64), paths: ['/x'], hostname: 'test', username: 'test' };
    return put(home, 'snapshots', sealed(json({ time, ...about, tags: [tag] }), key));
  });
}

function put(home: string, folder: string, bytes: Buffer): string {
  const id = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(join(home, folder, id), bytes);
  return id;
}

/** AES-256 in counter mode, with Poly1305-AES. */
function sealed(plain: Buffer, { encrypt, k, r }: Key): Buffer {
  const nonce = randomBytes(16);
  const text = createCipheriv('aes-256-ctr', encrypt, nonce).update(plain);
  const pad = createCipheriv('aes-128-ecb', k, null).update(nonce);
  return Buffer.concat([nonce, text, poly1305(text, r, pad)]);
}

const PRIME = (1n << 130n) - 5n;
const CLAMP = 0x0ffffffc0ffffffc0ffffffc0fffffffn;

function poly1305(text: Buffer, r: Buffer, pad: Buffer): Buffer {
  const factor = number(r) & CLAMP;
  let sum = 0n;
  for (let at = 0; at < text.length; at += 16) {
    const block = text.subarray(at, at + 16);
    sum = ((sum + number(block) + (1n << BigInt(8 * block.length))) * factor) % PRIME;
  }
  const tag = BigInt.asUintN(128, sum + number(pad))
    .toString(16)
    .padStart(32, '0');
  return Buffer.from(Buffer.from(tag, 'hex').toReversed());
}

/** Little-endian. */
function number(bytes: Buffer): bigint {
  if (bytes.length === 16) return (bytes.readBigUInt64LE(8) << 64n) + bytes.readBigUInt64LE(0);
  return BigInt(`0x${Buffer.from(bytes.toReversed()).toString('hex')}`);
}

const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
const base64 = (bytes: Buffer): string => bytes.toString('base64');
