import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { selfSigned } from '../support/certificates.ts';
import { expectDone, holdfastIn } from '../support/cli.ts';
import { makeRawDisk, sameFiles } from '../support/images.ts';
import { program, without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Other people's NBD clients against a session of an encrypted recovery point.
const root = temporaryDirectory();
const { holdfast, backUp, start } = await holdfastIn(root);
const raw = join(root, 'disk.raw');
makeRawDisk(raw);
await expectDone(backUp('vm', [`vda=${raw}`, `vdb=${raw}`]));

test('qemu-img: compare, convert, map', { skip: without('qemu-img') }, async () => {
  await using running = await start('recover', 'vm@latest');
  match(
    await program('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', running.uri, raw),
    /identical/,
  );
  const out = join(root, 'out.qcow2');
  await program('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', running.uri, out);
  match(await program('qemu-img', 'compare', '-F', 'raw', out, raw), /identical/);
  const map = JSON.parse(
    await program('qemu-img', 'map', '-f', 'raw', '--output=json', running.uri),
  ) as {
    start: number;
    length: number;
    zero: boolean;
  }[];
  const contents = readFileSync(raw);
  let at = 0;
  for (const { start, length, zero } of map) {
    equal(start, at);
    at += length;
    if (zero) ok(contents.subarray(start, at).every((byte) => byte === 0));
  }
  equal(at, contents.length);
  ok(map.some(({ zero }) => zero));
});

test('nbdinfo and nbdcopy see the disk and copy it whole', {
  skip: without('nbdinfo', 'nbdcopy'),
}, async () => {
  await using running = await start('recover', 'vm@latest');
  const list = await program('nbdinfo', '--list', '--json', running.uri.replace('/vda?', '/?'));
  const { exports } = JSON.parse(list) as { exports: Record<string, unknown>[] };
  deepEqual(
    exports.map((it) => it['export-name']),
    ['vda', 'vdb'],
  );
  for (const ability of [
    'can_multi_conn',
    'can_fua',
    'can_trim',
    'can_zero',
    'can_fast_zero',
    'can_df',
    'can_cache',
  ]) {
    equal(exports[0]![ability], true, ability);
  }
  match(String(exports[0]!['description']), /^vm vda, 20/);
  match(await program('nbdinfo', '--map', running.uri), /data/);
  const out = join(root, 'copied.raw');
  await program('nbdcopy', running.uri, out);
  ok(sameFiles(out, raw));
  // And back, over four connections, into the overlay.
  const other = join(root, 'other.raw');
  makeRawDisk(other, 24 * 2 ** 20, 40);
  await program('nbdcopy', '--connections=4', '--flush', other, running.uri);
  await program('nbdcopy', running.uri, out);
  ok(sameFiles(out, other));
});

test('fio verifies what it wrote, with and without syncs', { skip: without('fio') }, async () => {
  await using running = await start('recover', 'vm@latest');
  for (const more of [
    ['--fsync=8'],
    ['--rw=randrw', '--iodepth=1'],
    ['--bssplit=512/20:4k/40:24k/40'],
  ]) {
    const found = spawnSync('fio', [
      ...[
        '--name=verify',
        '--ioengine=nbd',
        `--uri=${running.uri}`,
        '--rw=randwrite',
        '--size=20m',
        '--bs=4k',
      ],
      ...[
        '--iodepth=16',
        '--verify=crc32c',
        '--verify_fatal=1',
        '--verify_state_save=0',
        '--minimal',
        ...more,
      ],
    ]);
    equal(found.status, 0, found.stderr.toString() + found.stdout.toString());
  }
});

test('clients get in over TLS with a certificate or a pre-shared key, and without neither', {
  skip: without('openssl', 'nbdinfo', 'qemu-img'),
}, async (t) => {
  const pki = join(root, 'pki');
  mkdirSync(pki);
  const openssl = (...args: string[]) => program('openssl', ...args);
  const pem = (name: string) => join(pki, `${name}.pem`);
  await selfSigned({ certificate: pem('ca-cert'), key: pem('ca-key') }, 'ca');
  for (const who of ['server', 'client']) {
    await openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/CN=localhost',
      '-keyout',
      pem(`${who}-key`),
      '-out',
      pem(`${who}-csr`),
    );
    writeFileSync(pem('ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    await openssl(
      'x509',
      '-req',
      '-days',
      '2',
      '-in',
      pem(`${who}-csr`),
      '-CA',
      pem('ca-cert'),
      '-CAkey',
      pem('ca-key'),
      '-CAcreateserial',
      '-extfile',
      pem('ext'),
      '-out',
      pem(`${who}-cert`),
    );
  }
  await t.test('a client without a certificate of ours does not get in', async () => {
    await using running = await start(
      'recover',
      'vm@latest',
      '--nbd',
      'tcp:127.0.0.1:0',
      '--tls-x509',
      pki,
    );
    const uri = running.uri.replace('127.0.0.1', 'localhost');
    match(uri, /^nbds:/);
    match(await program('nbdinfo', `${uri}?tls-certificates=${pki}`), /with TLS/);
    const out = join(root, 'tls.raw');
    await program('nbdcopy', `${uri}?tls-certificates=${pki}`, out);
    ok(sameFiles(out, raw));
    const stranger = join(root, 'stranger');
    mkdirSync(stranger);
    writeFileSync(join(stranger, 'ca-cert.pem'), readFileSync(pem('ca-cert')));
    const refused = spawnSync('nbdinfo', [`${uri}?tls-certificates=${stranger}`]);
    ok(refused.status !== 0, 'a client without a certificate');
    const clear = spawnSync('nbdinfo', [uri.replace('nbds:', 'nbd:')]);
    ok(clear.status !== 0, 'a client without TLS');
  });
  await t.test('a client without the pre-shared key does not get in', async () => {
    const psk = join(root, 'keys.psk');
    writeFileSync(psk, 'alice:000102030405060708090a0b0c0d0e0f\n');
    await using running = await start('recover', 'vm@latest', '--tls-psk', psk);
    const uri = running.uri.replace('nbds+unix:///', 'nbds+unix://alice@/');
    match(await program('nbdinfo', `${uri}&tls-psk-file=${psk}`), /with TLS/);
    const wrong = join(root, 'wrong.psk');
    writeFileSync(wrong, 'alice:ff0102030405060708090a0b0c0d0e0f\n');
    ok(spawnSync('nbdinfo', [`${uri}&tls-psk-file=${wrong}`]).status !== 0);
    // What was behind TLS is not opened to everyone by forgetting an option.
    await running.stop('SIGTERM');
    const open = await holdfast('recover', '--resume', running.ready.session);
    equal(open.code, 1);
    match(open.stderr, /TLS clients only/);
  });
});
