import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone, runCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 2 ** 20, 50);
const home = serviceHome(root);
const { holdfast, passphrase, store } = home;
const file = (name: string, line: string): string => {
  writeFileSync(join(root, name), `${line}\n`);
  return join(root, name);
};
const [second, third] = [file('second', 'battery staple'), file('third', 'another one')];
const with_ = (path: string): string[] => ['--passphrase-file', path];
const secrets = async () =>
  (await expectDone(holdfast('set', 'show', 'nightly'))).result['secrets'] as {
    readonly kind: string;
    readonly id: string;
  }[];

test('passphrases of a set are changed with one that a person gives, and schedules keep their key', async () => {
  await using service = await serviceWith(home, image);
  // Without a key of its own, the service has what was given for the schedule.
  home.configure({});
  service.signal('SIGHUP');
  await service.logged(/reloaded: /);
  const job = ['--machine', 'vm', '--backup', 'nightly', '--disk', `vda=${image}`];
  const old = with_(passphrase);
  await expectDone(holdfast('schedule', 'create', 'web', '--at', 'yearly', ...job, ...old));
  const change = (...more: string[]) =>
    holdfast('set', 'change-passphrase', 'nightly', '--new-passphrase-file', second, ...more);
  equal((await change(...with_(third))).code, 4);
  const changed = await expectDone(change(...old));
  match(changed.stdout, /the key that was given for schedule web is the new passphrase now/);
  const ran = await expectDone(holdfast('schedule', 'run', 'web'));
  const done = await expectDone(holdfast('job', 'attend', ran.result['job'] as string));
  equal(done.result['state'], 'done');
  equal((await change(...old)).code, 4, 'the former one');

  home.configure({ passphraseFiles: { nightly: second } });
  service.signal('SIGHUP');
  await service.logged(/reloaded: [^]*reloaded: /);
  const add = ['set', 'add-passphrase', 'nightly', '--new-passphrase-file', third];
  const none = await holdfast(...add);
  equal(none.code, 2, 'the key that the service has does not count');
  await expectDone(holdfast(...add, ...with_(second)));
  const [, , added] = await secrets();
  equal(added?.kind, 'passphrase');
  const first = (await secrets()).find(({ kind, id }) => kind === 'passphrase' && id !== added.id);
  const remove = (...more: string[]) =>
    holdfast('set', 'remove-passphrase', 'nightly', first!.id, ...more);
  equal((await remove()).code, 2);
  const removed = await expectDone(remove(...with_(third)));
  match(removed.stdout, /the service has of set .* schedule web.*passphraseFiles/);
  const renewed = await expectDone(
    holdfast('set', 'change-recovery-key', 'nightly', ...with_(third)),
  );
  const key = file('key', renewed.result['recoveryKey'] as string);
  await expectDone(change('--recovery-key-file', key));
  deepEqual((await secrets()).map(({ kind }) => kind).sort(), ['passphrase', 'recovery-key']);
  const audit = readFileSync(join(store, 'audit.log'), 'utf8');
  match(audit, /set\/change-passphrase/);
  for (const secret of ['battery staple', 'another one']) {
    for (const text of [secret, Buffer.from(secret).toString('base64')]) {
      ok(!audit.includes(text) && !service.log().includes(text), text);
    }
  }
});

test('while a recovery point is locked, only the recovery key takes a passphrase away', async () => {
  const alone = (...more: string[]) => runCli([...more, '--store', store, '--json']);
  const show = (await expectDone(alone('backup', 'list'))).result['points'] as { point: string }[];
  const until = new Date(Date.now() + 20 * 24 * 3600 * 1000).toISOString().slice(0, 10);
  const key = ['--recovery-key-file', join(root, 'key')];
  const now = with_(second);
  await expectDone(alone('backup', 'lock', show[0]!.point, '--until', until, ...now));
  const change = (...more: string[]) =>
    alone('set', 'change-passphrase', 'nightly', '--new-passphrase-file', third, ...more);
  const refused = await change(...now);
  equal(refused.code, 3);
  match(refused.stderr, /stays while a recovery point of it is locked: give the recovery key/);
  equal((await alone('set', 'change-recovery-key', 'nightly', ...key)).code, 3);
  const empty = file('empty', '');
  const nothing = ['set', 'change-passphrase', 'nightly', '--new-passphrase-file', empty];
  equal((await alone(...nothing, ...key)).code, 2);
  // What is on paper does not void it either.
  const printed = await expectDone(alone('set', 'export-key', 'nightly', ...now));
  const paper = file('paper', printed.result['key'] as string);
  const imported = await expectDone(
    alone('set', 'import-key', 'nightly', '--key-file', paper, ...with_(third)),
  );
  equal(imported.result['kept'], true);
  const list = (...more: string[]) => alone('set', 'export-key', 'nightly', ...more);
  await expectDone(list(...now));
  await expectDone(list(...key));
  const ids = (await expectDone(alone('set', 'show', 'nightly'))).result['secrets'] as {
    readonly kind: string;
    readonly id: string;
  }[];
  const former = ids.find(({ kind }) => kind === 'passphrase')!.id;
  const remove = (...more: string[]) =>
    alone('set', 'remove-passphrase', 'nightly', former, ...more);
  equal((await remove(...with_(third))).code, 3);
  await expectDone(remove(...key));
});
