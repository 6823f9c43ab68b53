import { equal, match, ok } from 'node:assert/strict';
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone, runCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('a set whose records are lost is there again with its key from paper, which is logged nowhere', async () => {
  const directory = temporaryDirectory();
  const image = join(directory, 'disk.raw');
  makeRawDisk(image, 2 ** 23, 50);
  const home = serviceHome(directory);
  await using _service = await serviceWith(home, image);
  const { holdfast, store, passphrase } = home;
  const secret = ['--passphrase-file', passphrase];
  // The service has the passphrase, and never gives the key away.
  const local = ['--store', store, '--json'];
  const wrong = join(directory, 'wrong');
  writeFileSync(wrong, 'another\n');
  const refused = await runCli([
    'set',
    'export-key',
    'nightly',
    ...local,
    '--passphrase-file',
    wrong,
  ]);
  equal(refused.code, 4, refused.stderr);
  const printed = await expectDone(
    runCli(['set', 'export-key', 'nightly', '--store', store, ...secret]),
  );
  const typed = printed.stdout.split('\n').filter((line) => /^ {2}[0-9A-Z-]+$/.test(line));
  const paper = join(directory, 'paper');
  writeFileSync(paper, `${typed.join('\n').toLowerCase()}\n`);
  for (const name of ['set.json', 'set.copy.json']) unlinkSync(join(store, 'sets/nightly', name));
  const lost = await holdfast(
    'backup',
    'create',
    'nightly',
    '--machine',
    'vm',
    '--disk',
    `vda=${image}`,
  );
  equal(lost.code, 6, lost.stderr);
  match(lost.stderr, /the record of set "nightly" is lost: .*import-key/);
  const chosen = join(directory, 'chosen');
  writeFileSync(chosen, 'battery staple\n');
  const mistyped = join(directory, 'mistyped');
  writeFileSync(
    mistyped,
    readFileSync(paper, 'utf8').replace(/[0-9a-z]/, (it) => (it === '7' ? '8' : '7')),
  );
  const give = (file: string) =>
    holdfast('set', 'import-key', 'nightly', '--key-file', file, '--passphrase-file', chosen);
  const bad = await give(mistyped);
  equal(bad.code, 4);
  match(bad.stderr, /a digit is wrong or missing/);
  // As it was printed, with what was printed around it.
  const sheet = join(directory, 'sheet');
  writeFileSync(sheet, printed.stdout);
  await expectDone(give(sheet));
  const made = await expectDone(give(paper));
  match(made.result['recoveryKey'] as string, /^[0-9A-Z]{4}(-[0-9A-Z]{4}){13}$/);
  const out = join(directory, 'out.raw');
  const restore = ['restore', 'disk', 'vm@latest', 'vda', '--to', out];
  equal((await holdfast(...restore, ...secret)).code, 4, 'the passphrase of before');
  await expectDone(holdfast(...restore, '--passphrase-file', chosen));
  ok(readFileSync(image).equals(readFileSync(out)));
  const checked = await expectDone(holdfast('store', 'check', '--passphrase-file', chosen));
  equal((checked.result['problems'] as unknown[]).length, 0);
  const audit = readFileSync(join(store, 'audit.log'), 'utf8');
  match(audit, /set\/import-key/);
  const group = typed[0]!.trim().split('-')[1]!;
  ok(!audit.toUpperCase().includes(group), 'the audit log has no key');
});
