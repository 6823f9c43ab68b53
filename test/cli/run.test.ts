import { deepEqual, equal, match, ok } from 'node:assert/strict';
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../src/block/nbd-client/nbd-disk.ts';
import { expectDone, holdfastIn, runCli } from '../support/cli.ts';
import { makeRawDisk, overwrite, sameFiles } from '../support/images.ts';
import { noise } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MiB = 2 ** 20;
const root = temporaryDirectory();
const { holdfast, backUp, start, store, recoveryKey } = await holdfastIn(root);
const image = join(root, 'disk.raw');
makeRawDisk(image);

test('help comes with exit code 0, and each kind of refusal has its own', async () => {
  const help = await runCli(['--help']);
  equal(help.code, 0);
  for (const words of ['store create', 'backup create', 'recover', 'session keep']) {
    ok(help.stdout.includes(words.split(' ')[0]!));
    const own = await runCli([...words.split(' '), '--help']);
    equal(own.code, 0);
    match(own.stdout, new RegExp(`Usage: holdfast ${words}`));
  }
  equal((await runCli([])).code, 2);
  equal((await runCli(['backup', 'frob'])).code, 2);
  equal((await runCli(['set', 'list'])).code, 2, 'no store');
  equal((await runCli(['set', 'list', '--store', '/nowhere'])).code, 5);
  equal((await backUp('vm', [])).code, 2);
  equal((await backUp('../x', [`vda=${image}`])).code, 2);
  equal((await holdfast('recover', 'nothing')).code, 5);
  const wrong = await runCli(['set', 'list', '--store', store, '--frob']);
  match(wrong.stderr, /frob/);
});

test('options of NFS without --nfs are refused by name', async () => {
  const idle = [
    ['--allow', '10.0.0.0/8'],
    ['--nfs-port', '0'],
    ['--squash', 'all'],
    ['--nfs-read-only'],
    ['--any-port'],
  ];
  for (const words of idle) {
    for (const what of [['vm@latest'], ['--resume', 'vm-000000']]) {
      const refused = await runCli(['recover', ...what, ...words]);
      equal(refused.code, 2);
      match(refused.stderr, new RegExp(`${words[0]} goes with --nfs`));
    }
  }
});

test('backup, increment, restore: only what is new is stored', async () => {
  const first = await expectDone(backUp('vm', [`vda=${image}`]));
  ok((first.result['storedBytes'] as number) < 3 * MiB);
  const changed = join(root, 'changed.json');
  overwrite(image, noise(5000, 9), 6 * MiB);
  writeFileSync(changed, JSON.stringify({ vda: [{ offset: 6 * MiB, length: 5000 }] }));
  const second = await expectDone(backUp('vm', [`vda=${image}`], '--changed', changed));
  equal(second.result['parent'], first.result['point']);
  equal(second.result['readBytes'], MiB);
  ok((second.result['storedBytes'] as number) < 400_000);
  const out = join(root, 'out.raw');
  await expectDone(holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', out));
  ok(sameFiles(out, image));
  ok(statSync(out).blocks * 512 < 8 * MiB, 'holes stay holes');
  equal(
    (await holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', out)).code,
    1,
    'not over a file',
  );
  await expectDone(holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', out, '--overwrite'));
  const again = await expectDone(backUp('vm', [`vda=${image}`]));
  equal(again.result['storedBytes'], 0);
  const list = await expectDone(holdfast('backup', 'list'));
  equal((list.result['points'] as unknown[]).length, 3);
});

test('several disks make one recovery point', async () => {
  const other = join(root, 'other.raw');
  makeRawDisk(other, 20 * MiB, 50);
  const made = await expectDone(backUp('two', [`vda=${image}`, `vdb=${other}`]));
  equal((made.result['disks'] as unknown[]).length, 2);
  const out = join(root, 'other.out');
  await expectDone(holdfast('restore', 'disk', 'two@latest', 'vdb', '--to', out));
  ok(sameFiles(out, other));
  equal((await holdfast('restore', 'disk', 'two@latest', 'vdc', '--to', join(root, 'x'))).code, 5);
});

test('wrong keys are refused, the recovery key is as good as the passphrase', async () => {
  const wrong = join(root, 'wrong');
  writeFileSync(wrong, 'wrong\n');
  const show = (...secret: string[]) =>
    runCli(['backup', 'show', 'vm@latest', '--store', store, '--json', ...secret]);
  const refused = await show('--passphrase-file', wrong);
  equal(refused.code, 4);
  match(refused.stderr, /not the passphrase/);
  equal((await show()).code, 2, 'no service to ask');
  const key = join(root, 'key');
  writeFileSync(key, recoveryKey.toLowerCase());
  equal((await show('--recovery-key-file', key)).code, 0);
  writeFileSync(
    key,
    `${recoveryKey.slice(0, -1)}0`.replace(/^./, (digit) => (digit === '7' ? '8' : '7')),
  );
  equal((await show('--recovery-key-file', key)).code, 4);
  const everything = readdirSync(store, { recursive: true, encoding: 'utf8' })
    .map((name) => join(store, name))
    .filter((name) => statSync(name).isFile())
    .map((name) => readFileSync(name).toString('latin1'));
  for (const text of everything) ok(!text.includes('correct horse') && !text.includes(recoveryKey));
});

test('truncated and missing images publish nothing', async () => {
  const bad = join(root, 'bad.raw');
  makeRawDisk(bad);
  truncateSync(bad, 7 * MiB + 100);
  const before = (await holdfast('backup', 'list')).result;
  const refused = await backUp('vm', [`vda=${bad}`]);
  equal(refused.code, 6);
  match(refused.stderr, /truncated/);
  equal((await backUp('vm', ['vda=/nowhere'])).code, 5);
  deepEqual((await holdfast('backup', 'list')).result, before);
});

test('what a guest writes in a session is there when it is resumed, and in the point that is kept', async () => {
  const page = noise(4096, 77);
  let session: string;
  {
    await using running = await start('recover', 'vm@latest');
    session = running.ready.session;
    const disk = await openNbdDisk(running.uri);
    await disk.write(page, 8192, 'durable');
    await disk[Symbol.asyncDispose]();
    const [listed] = (await holdfast('session', 'list')).result['sessions'] as { state: string }[];
    equal(listed?.state, 'running');
    for (const ending of ['keep', 'discard'])
      equal((await holdfast('session', ending, session)).code, 3);
    const point = (await holdfast('backup', 'show', 'vm@latest')).result['point'] as string;
    equal((await holdfast('backup', 'forget', point)).code, 3);
    equal(await running.stop('SIGINT'), 0);
  }
  {
    await using running = await start('recover', '--resume', session);
    await using disk = await openNbdDisk(running.uri);
    const got = new Uint8Array(4096);
    await disk.read(got, 8192);
    deepEqual(got, page);
    await running.stop('SIGTERM');
  }
  // Its clients look for it where it was last.
  let place: string;
  {
    await using running = await start('recover', '--resume', session, '--nbd', 'tcp:127.0.0.1:0');
    place = running.uri;
  }
  {
    await using running = await start('recover', '--resume', session);
    equal(running.uri, place);
    await running.stop('SIGTERM');
  }
  const before = (await holdfast('backup', 'show', 'vm@latest')).result['point'] as string;
  const kept = await expectDone(holdfast('session', 'keep', session));
  const point = await expectDone(holdfast('backup', 'show', 'vm@latest'));
  equal(point.result['point'], kept.result['point']);
  equal(point.result['parent'], before);
  equal(point.result['origin'], 'session');
  ok((point.result['readBytes'] as number) <= MiB);
  const out = join(root, 'kept.raw');
  await expectDone(holdfast('restore', 'disk', kept.result['point'] as string, 'vda', '--to', out));
  deepEqual(Uint8Array.from(readFileSync(out).subarray(8192, 12_288)), page);
  equal((await holdfast('session', 'show', session)).code, 5);

  // What changed on the machine is counted from its backup, not from what was kept.
  const nothing = join(root, 'nothing.json');
  writeFileSync(nothing, '[]');
  const next = await expectDone(backUp('vm', [`vda=${image}`], '--changed', nothing));
  equal(next.result['parent'], before);
  await expectDone(holdfast('restore', 'disk', 'vm@latest', 'vda', '--to', out, '--overwrite'));
  ok(sameFiles(out, image));

  await using running = await start('recover', before);
  await using disk = await openNbdDisk(running.uri);
  await disk.write(page, 0, 'durable');
  await running.stop('SIGINT');
  await expectDone(holdfast('session', 'discard', running.ready.session));
  deepEqual((await holdfast('session', 'list')).result['sessions'], []);
});

test('several sessions of one recovery point at once, each with its own writes', async () => {
  await using one = await start('recover', 'vm@latest');
  await using two = await start('recover', 'vm@latest');
  await using first = await openNbdDisk(one.uri);
  await using second = await openNbdDisk(two.uri);
  await first.write(new Uint8Array(4096).fill(1), 0, 'durable');
  const got = new Uint8Array(4096);
  await second.read(got, 0);
  ok(!got.every((byte) => byte === 1));
  // And a backup in the meantime.
  await expectDone(backUp('vm', [`vda=${image}`]));
  for (const it of [one, two]) {
    await it.stop('SIGINT');
    await expectDone(holdfast('session', 'discard', it.ready.session));
  }
});

test('check finds damage, cat shows every format, the index can be lost', async () => {
  const pack = readdirSync(join(store, 'packs', '00000'))[0]!;
  const path = join(store, 'packs', '00000', pack);
  const intact = readFileSync(path);
  overwrite(path, new Uint8Array(1).fill(intact[5000]! ^ 1), 5000);
  equal((await holdfast('store', 'check')).code, 0, 'structure only');
  const found = await holdfast('store', 'check', '--read-data');
  equal(found.code, 6);
  match(found.stdout, /"problems":\[\{"where":"[^"]*00000001.pack"/);
  equal((await holdfast('store', 'check')).code, 6, 'what is known is not forgotten');
  writeFileSync(path, intact);
  equal((await holdfast('store', 'check')).code, 0, 'it is whole again, and known to be');
  rmSync(join(store, 'block-index'), { recursive: true });
  await expectDone(holdfast('store', 'rebuild-index'));
  const again = await expectDone(backUp('vm', [`vda=${image}`]));
  equal(again.result['storedBytes'], 0);
  const point = again.result['point'] as string;
  await using running = await start('recover', point);
  const { session } = running.ready;
  for (const kind of [
    ['pack', '1'],
    ['manifest', point, 'vda'],
    ['point', point],
    ['set', 'nightly'],
    ['session', session],
    ['overlay', session, 'vda'],
  ]) {
    const shown = await expectDone(holdfast('store', 'cat', ...kind));
    ok(shown.lines.length > 0, kind.join(' '));
  }
  await running.stop('SIGINT');
  equal((await holdfast('store', 'cat', 'frob', 'x')).code, 2);
  await expectDone(holdfast('session', 'discard', session));
  // F26: what shows a recovery point is not enough to destroy it.
  const refused = await holdfast('backup', 'forget', point.slice(0, -1));
  ok(refused.code !== 0 && refused.stderr.includes(point), refused.stderr);
  await expectDone(holdfast('backup', 'show', point));
  await expectDone(holdfast('backup', 'forget', point));
  equal((await holdfast('backup', 'show', point)).code, 5);
  ok(!existsSync(join(store, 'sets', 'nightly', 'points', `${point}.point`)));
});
