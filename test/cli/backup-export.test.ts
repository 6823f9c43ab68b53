import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { type Ended, expectDone, holdfastIn, runCli } from '../support/cli.ts';
import { noise } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const SIZE = 3 * 2 ** 20;
const FIRST = new Uint8Array(SIZE);
FIRST.set(noise(200_000, 1), 500_000);
const SECOND = FIRST.slice();
SECOND.set(noise(70_000, 2), 2_500_000);

const directory = temporaryDirectory();
const image = join(directory, 'vda.raw');
const passphrase = join(directory, 'passphrase');
const { holdfast, backUp, recoveryKey } = await holdfastIn(directory);
const recovery = join(directory, 'recovery');
writeFileSync(recovery, recoveryKey);
await expectDone(runCli(['set', 'create', 'open', '--store', join(directory, 'store')]));

/** Two points of a machine, the second of which is made of a list of changes, and one that is not encrypted. */
async function points(): Promise<string[]> {
  writeFileSync(image, FIRST);
  const first = await expectDone(backUp('m1', [`vda=${image}`]));
  writeFileSync(image, SECOND);
  const changed = join(directory, 'changed.json');
  writeFileSync(changed, JSON.stringify([{ offset: 2_097_152, length: 1_048_576 }]));
  const second = await expectDone(backUp('m1', [`vda=${image}`], '--changed', changed));
  const words = ['backup', 'create', 'open', '--machine', 'm2', '--disk', `vda=${image}`, '--json'];
  const third = await expectDone(runCli([...words, '--store', join(directory, 'store')]));
  return [first, second, third].map(({ result }) => result['point'] as string);
}
const [first, second, third] = (await points()) as [string, string, string];
const file = join(directory, 'all.export');
await expectDone(holdfast('backup', 'export', '--set', 'nightly', '--to', file));

/** A store of another box, which has no key of its own. */
async function otherStore(name: string) {
  const store = join(directory, name);
  await expectDone(runCli(['store', 'create', '--store', store]));
  return (...words: string[]): Promise<Ended> => runCli([...words, '--store', store, '--json']);
}

async function restored(box: (...words: string[]) => Promise<Ended>, point: string, key: string[]) {
  const to = join(directory, `${Math.random()}.raw`);
  await expectDone(box('restore', 'disk', point, 'vda', '--to', to, ...key));
  return readFileSync(to);
}

test('the points of an export are the same on another box, with the passphrase or the recovery key', async () => {
  const box = await otherStore('box');
  const key = ['--passphrase-file', passphrase];
  const done = await expectDone(box('backup', 'import', file, ...key));
  deepEqual(
    (done.result['points'] as { point: string; state: string }[]).map((it) => [it.point, it.state]),
    [
      [first, 'imported'],
      [second, 'imported'],
    ],
  );
  equal(Buffer.compare(await restored(box, first, key), FIRST), 0);
  equal(Buffer.compare(await restored(box, second, ['--recovery-key-file', recovery]), SECOND), 0);
  await expectDone(box('store', 'check', '--read-data', ...key));
  const again = await expectDone(box('backup', 'import', file, '--recovery-key-file', recovery));
  equal(again.result['storedBytes'], 0);
  ok(!readdirSync(join(directory, 'box')).includes('import'), 'nothing of the import is left');
});

test('without the key nothing is imported, and with a wrong one neither', async () => {
  const box = await otherStore('locked');
  const wrong = join(directory, 'wrong');
  writeFileSync(wrong, 'battery staple\n');
  const { code, stderr } = await box('backup', 'import', file, '--passphrase-file', wrong);
  equal(code, 4);
  match(stderr, /not the passphrase of set "nightly"/);
  deepEqual((await box('set', 'list')).result['sets'], []);
});

test('an export passes through pipes', async () => {
  await otherStore('piped');
  const out = spawn(
    process.execPath,
    [MAIN, 'backup', 'export', third, '--to', '-', '--store', join(directory, 'store')],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const into = spawn(
    process.execPath,
    [MAIN, 'backup', 'import', '-', '--store', join(directory, 'piped'), '--json'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  out.stdout.pipe(into.stdin);
  const parts: Buffer[] = [];
  into.stdout.on('data', (part: Buffer) => parts.push(part));
  const ends = await Promise.all([once(out, 'close'), once(into, 'close')]);
  deepEqual(
    ends.map(([code]) => code as number),
    [0, 0],
  );
  match(Buffer.concat(parts).toString(), new RegExp(`"point":"${third}","reason":null`));
  const words = ['--store', join(directory, 'piped'), '--json'];
  const box = (...own: string[]) => runCli([...own, ...words]);
  equal(Buffer.compare(await restored(box, third, []), SECOND), 0);
});

test('a set of the same name with other keys is refused, and imported under another name', async () => {
  const box = await otherStore('clash');
  await expectDone(box('set', 'create', 'nightly'));
  const key = ['--passphrase-file', passphrase];
  const { code, stderr } = await box('backup', 'import', file, ...key);
  equal(code, 1);
  match(stderr, /"nightly" of this store is not the one in the file: .* --as NAME/);
  await expectDone(box('backup', 'import', file, '--as', 'theirs', ...key));
  equal(Buffer.compare(await restored(box, `theirs/${second}`, key), SECOND), 0);
});

test('a damaged file is an error with its place; what is whole is there', async () => {
  const bytes = readFileSync(file);
  const shown = await expectDone(
    runCli(['backup', 'inspect-export', file, '--read-data', '--json']),
  );
  deepEqual(shown.result['fileDamage'], []);
  bytes[bytes.length - 3000]! ^= 4;
  const damaged = join(directory, 'damaged.export');
  writeFileSync(damaged, bytes);
  const looked = await runCli(['backup', 'inspect-export', damaged, '--read-data']);
  equal(looked.code, 6);
  match(looked.stdout, /DAMAGED at byte \d+: /);
  const box = await otherStore('damaged');
  const done = await box('backup', 'import', damaged, '--passphrase-file', passphrase);
  equal(done.code, 6);
  const found = done.lines.at(-2)!['points'] as { point: string; state: string }[];
  ok(found.some(({ state }) => state === 'imported') && found.length === 2);
});

test('files are not replaced, and what cannot be a file is refused', async () => {
  const exists = await holdfast('backup', 'export', first, '--to', file);
  match(exists.stderr, /exists: remove it, or give --overwrite/);
  await expectDone(holdfast('backup', 'export', first, '--to', file, '--overwrite'));
  const list = await runCli(['backup', 'inspect-export', file, '--json']);
  equal((list.result['points'] as object[]).length, 1);
  for (const [words, message] of [
    [['--set', 'nightly', '--to', directory], /is not a regular file/],
    [['--set', 'nightly', '--to', '/nowhere/file'], /nowhere/],
    [['--set', 'nightly', '--to', join(directory, 'store', 'x')], /in the directory of the store/],
    [['--set', 'nightly', '--to', '-'], /--json and "--to -"/],
    [['--to', join(directory, 'none')], /which recovery points\?/],
    [['--set', 'nightly', '--machine', 'm9', '--to', join(directory, 'none')], /no recovery point/],
  ] as const) {
    const { code, stderr } = await holdfast('backup', 'export', ...words);
    ok(code !== 0);
    match(stderr, message);
  }
  ok(!readdirSync(directory).some((name) => name.endsWith('.part') || name === 'none'));
});
