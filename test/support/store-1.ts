import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { temporaryDirectory } from './temporary.ts';

/*
 * A store as the release of 22 November (b069473) left it: an encrypted set `nightly` with two recovery points of `vm`
 * and a boot profile, an unencrypted set `plain` with one, and one that was forgotten as the newest; a session, a
 * schedule and a job that has ended. Each file is deflated, by its path.
 */
const FILES = new URL('../fixtures/store-1.json', import.meta.url);

export const STORE_1 = {
  passphrase: 'correct horse',
  recoveryKey: 'VM74-TPT8-XE9E-SVWX-R4VJ-R1AN-QC92-V3WA-H68P-JEPR-QBGQ-GM18-YR7F-N9NZ',
  session: 'vm-28689a',
  nightly: ['vm-20261129T090405Z-515534', 'vm-20261129T090406Z-c4e88e'],
  plain: ['vm-20261129T090407Z-a9996b'],
} as const;

/** Where it was made. A session says at which socket in the store its disks are. */
const MADE_IN = '/tmp/holdfast/store';

function moved(name: string, bytes: Uint8Array, directory: string): Uint8Array | string {
  if (!name.endsWith('/session.json')) return bytes;
  return Buffer.from(bytes).toString().replaceAll(MADE_IN, directory);
}

/** The directory of a copy of it. */
export function storeOfRelease1(): string {
  const directory = join(temporaryDirectory(), 'store');
  const files = JSON.parse(readFileSync(FILES, 'utf8')) as Record<string, string>;
  for (const [name, bytes] of Object.entries(files)) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, moved(name, inflateSync(Buffer.from(bytes, 'base64')), directory));
  }
  return directory;
}
