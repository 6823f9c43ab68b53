import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { ImageFormat } from '../../../src/ingest/source/image-format.ts';
import { openSource } from '../../../src/ingest/source/open-source.ts';
import { secretsAmong } from '../../../src/engine/secrets/secret-files.ts';
import { secretFiles } from '../../../src/daemon/keyring.ts';
import { parseSettings } from '../../../src/daemon/settings.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { program, without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const skip = without('qemu-img', 'qemu-nbd', 'prlimit');
const root = temporaryDirectory();
const keys = join(root, 'keys');
const key = join(keys, 'key');
mkdirSync(keys);
writeFileSync(key, 'S3CRET'.padEnd(4096, '.'));
const isSecret = await secretsAmong([keys, join(root, 'not there')]);

const open = (where: string, format?: ImageFormat) =>
  openSource(realWorld(), where, { format, isSecret });
const make = (name: string, ...more: string[]) =>
  program('qemu-img', 'create', '-q', '-f', 'qcow2', ...more, join(root, name), '64M');

async function refused(where: string, format?: ImageFormat): Promise<void> {
  await rejects(open(join(root, where), format), (error: Error) => {
    ok(error instanceof SystemError && error.code === 'DENIED', String(error));
    match(error.message, /leads to .*keys\/key, which holds secrets of this host/);
    return true;
  });
}

/** The first of a disk, as much as shows what it is. */
async function read(where: string, format: ImageFormat, length: number): Promise<string> {
  await using source = await open(join(root, where), format);
  const bytes = new Uint8Array(length);
  await source.device.read(bytes, 0);
  return Buffer.from(bytes).toString('latin1');
}

test('no link leads to a secret file, and no image names one', { skip }, async () => {
  symlinkSync(key, join(root, 'link.raw'));
  await refused('link.raw');
  await make('backing.qcow2', '-b', join(root, 'link.raw'), '-F', 'raw');
  await refused('backing.qcow2', 'qcow2');
  await make('above.qcow2', '-b', 'backing.qcow2', '-F', 'qcow2');
  await refused('above.qcow2', 'qcow2');
  const file = JSON.stringify({ driver: 'raw', file: { driver: 'file', filename: key } });
  await make('json.qcow2', '-b', `json:${file}`, '-F', 'raw');
  await refused('json.qcow2', 'qcow2');
  writeFileSync(join(root, 'data'), '');
  await make('data.qcow2', '-o', `data_file=${join(root, 'data')},data_file_raw=on`);
  await program('rm', join(root, 'data'));
  symlinkSync(key, join(root, 'data'));
  await refused('data.qcow2', 'qcow2');
  // Other files may be named by who says what the image is.
  writeFileSync(join(root, 'plain.raw'), 'PLAIN'.padEnd(4096, '.'));
  await make('plain.qcow2', '-b', join(root, 'plain.raw'), '-F', 'raw');
  match(await read('plain.qcow2', 'qcow2', 4096), /^PLAIN\.\./);
});

test('what an image would open only when it is read stays closed', { skip }, async () => {
  // qemu shows a directory as a disk, and opens its files as they are read.
  await make('directory.qcow2', '-b', `fat:${keys}`, '-F', 'raw');
  const out = join(root, 'out.raw');
  const image = join(root, 'directory.qcow2');
  await program('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', image, out);
  match(await program('grep', '-ac', 'S3CRET', out), /^1$/m, 'without us it is there');
  const disk = await read('directory.qcow2', 'qcow2', 4 * 2 ** 20);
  ok(/KEY {8}/.test(disk), 'the directory itself is read');
  ok(!disk.includes('S3CRET'));
});

test('the sectors of a disk are those that its partition table counts in', async () => {
  const usual = 8 * 4096;
  for (const [at, size, expected] of [
    [[4096], usual, 4096],
    [[512], usual, undefined],
    // A table of small sectors, made where one of large sectors was.
    [[512, 4096], usual, undefined],
    [[], usual, undefined],
    [[4096], usual + 512, undefined],
    [[], 512, undefined],
  ] as const) {
    const contents = Buffer.alloc(size);
    for (const offset of at) contents.write('EFI PART', offset, 'latin1');
    writeFileSync(join(root, 'sectors.raw'), contents);
    await using source = await open(join(root, 'sectors.raw'), 'raw');
    equal(source.sectorSize, expected, `${at.join()} of ${size}`);
  }
});

test('nothing is left running of what is refused', { skip }, async () => {
  const own = (): string[] => readdirSync('/proc/self/fd');
  const before = own().length;
  await refused('link.raw');
  await refused('backing.qcow2', 'qcow2');
  equal(own().length, before);
});

test('all that the settings name is secret, and what lies in a directory of keys', async () => {
  process.env['HOLDFAST_STATE'] = '/k/box';
  const settings = parseSettings(
    'f',
    JSON.stringify({
      passphraseFiles: { nightly: '/k/nightly' },
      listen: { address: 'a:1', certificate: '/k/cert', key: '/k/listen', tokens: '/k/tokens' },
      nbd: { tls: { kind: 'psk', path: '/k/psk' } },
      notify: { webhookSecretFile: '/k/hook' },
    }),
  );
  deepEqual(secretFiles(settings, '/run/c').sort(), [
    ...['/k/box', '/k/hook', '/k/listen', '/k/nightly', '/k/psk', '/k/tokens', '/run/c'],
  ]);
  const x509 = parseSettings('f', `{"nbd": {"tls": {"kind": "x509", "directory": "${keys}"}}}`);
  const secret = await secretsAmong(secretFiles(x509, undefined));
  ok(secret(key) && secret('/etc/shadow') && !secret(`${keys}-not/key`) && !secret(root));
  const elsewhere = join(root, 'renewed.pem');
  writeFileSync(elsewhere, '');
  symlinkSync(elsewhere, join(keys, 'server-key.pem'));
  const renewed = await secretsAmong(secretFiles(x509, undefined));
  ok(renewed(elsewhere), 'where the link to the key leads');
});
