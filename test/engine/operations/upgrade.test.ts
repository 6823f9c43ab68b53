import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { endsWithSum } from '../../../src/formats/store/base/json-record.ts';
import { expectDone, runCli } from '../../support/cli.ts';
import { backUpDescribed, DEFINITION, notesOf } from '../../support/described-points.ts';
import { makeRawDisk, sameFiles } from '../../support/images.ts';
import { oldRelease } from '../../support/old-release.ts';
import { serviceHome } from '../../support/service.ts';
import { STORE_1, storeOfRelease1 } from '../../support/store-1.ts';

/** The store of the release of 22 November, and a passphrase for it. */
function place() {
  const store = storeOfRelease1();
  const passphrase = join(store, '..', 'passphrase');
  writeFileSync(passphrase, `${STORE_1.passphrase}\n`);
  const locked = (...args: string[]) => runCli([...args, '--store', store, '--json']);
  const holdfast = (...args: string[]) => locked(...args, '--passphrase-file', passphrase);
  const image = join(store, '..', 'disk.raw');
  makeRawDisk(image, 2 ** 23, 50);
  return {
    store,
    passphrase,
    locked,
    holdfast,
    disk: ['--machine', 'vm', '--disk', `vda=${image}`],
  };
}

/** Those that have to have a checksum, and have none. */
function unchecked(store: string): string[] {
  const names = readdirSync(store, { recursive: true }) as string[];
  const records = names.filter((name) =>
    /\.(point|forgotten|profile|head)$|^(sets|sessions|leases|jobs|schedules)\/.*\.json$|^holdfast/.test(
      name,
    ),
  );
  ok(records.length > 10, 'the store has records');
  return records.filter((name) => !endsWithSum(readFileSync(join(store, name))));
}

function take(store: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(store, 'holdfast-store.json'), 'utf8')) as Record<
    string,
    unknown
  >;
}

test('an upgrade is shown first; with --yes every record gets what new stores have, and nothing is lost', async () => {
  const { store, holdfast, disk, passphrase } = place();
  const shown = await expectDone(holdfast('store', 'upgrade'));
  equal(shown.result['upgraded'], false);
  match(JSON.stringify(shown.result['features']), /checked-records.*point-chain/);
  equal(take(store)['version'], 1, 'it is only shown');
  const done = await expectDone(holdfast('store', 'upgrade', '--yes'));
  equal(done.result['upgraded'], true);
  deepEqual(unchecked(store), []);
  equal(take(store)['version'], 2);
  const checked = await expectDone(holdfast('store', 'check', '--read-data'));
  deepEqual([checked.result['points'], checked.result['problems']], [3, []]);
  deepEqual((await expectDone(holdfast('store', 'upgrade'))).result['features'], []);
  await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  await expectDone(holdfast('session', 'discard', STORE_1.session));
  await expectDone(holdfast('store', 'check'));
  unlinkSync(join(store, `sets/nightly/points/${STORE_1.nightly[0]}.point`));
  const missed = await holdfast('store', 'check');
  equal(missed.code, 6);
  match(missed.stdout, new RegExp(`recovery point ${STORE_1.nightly[0]} was deleted`));
  await expectDone(holdfast('backup', 'forget', STORE_1.nightly[0]));
  await expectDone(holdfast('store', 'check'));
  const old = oldRelease();
  if (!old) return;
  const refused = old('backup', 'list', '--store', store, '--passphrase-file', passphrase);
  match(refused.stderr, /version 2, this release reads 1/);
});

test('the release of 22 November restores what knows its machine, and an upgrade keeps the machine', async () => {
  const { store, holdfast, passphrase } = place();
  const image = join(store, '..', 'disk.raw');
  const key = { passphrase: STORE_1.passphrase };
  const { id } = await backUpDescribed(store, 'web1', { image, ...key });
  const old = oldRelease();
  const to = join(store, '..', 'restored.raw');
  for (const words of old
    ? [
        ['backup', 'show', id],
        ['restore', 'disk', id, 'vda', '--to', to],
        ['store', 'check', '--read-data'],
      ]
    : []) {
    const { code, stderr } = old!(...words, '--store', store, '--passphrase-file', passphrase);
    equal(code, 0, `${words.join(' ')}: ${stderr}`);
  }
  if (old) ok(sameFiles(image, to));
  await expectDone(holdfast('store', 'upgrade', '--yes'));
  const { result } = await expectDone(holdfast('backup', 'show', id, '--definition'));
  equal(result['definition'], DEFINITION);
  deepEqual([result['run'], result['consistency']], ['run-1', notesOf().consistency]);
  await expectDone(holdfast('store', 'check', '--read-data'));
});

test('an upgrade that lacks the key of a set says of which, and has changed nothing', async () => {
  const { store, locked, holdfast } = place();
  const wrong = join(store, '..', 'wrong');
  writeFileSync(wrong, 'another\n');
  const refused = await locked('store', 'upgrade', '--yes', '--passphrase-file', wrong);
  equal(refused.code, 4, refused.stderr);
  match(refused.stderr, /set "nightly"/);
  equal(take(store)['version'], 1, 'older releases can go on with it');
  // It works as before, until the upgrade is done.
  await expectDone(holdfast('store', 'check'));
  await expectDone(holdfast('store', 'upgrade', '--yes'));
  deepEqual(unchecked(store), []);
});

test('the service upgrades the store that it has, and goes on writing its jobs as the store wants them', async () => {
  const { store } = place();
  const home = serviceHome(join(store, '..'));
  // A box that begins to remember adopts what the release before has left.
  await using service = await home.run({ environment: { HOLDFAST_STATE: join(store, '../box') } });
  const { holdfast } = home;
  const refused = await holdfast('store', 'upgrade', '--yes');
  match(refused.stderr, /session vm-28689a is in use by holdfast/);
  equal(take(store)['version'], 1, 'older releases can go on with it');
  await expectDone(holdfast('session', 'stop', STORE_1.session));
  const done = await expectDone(holdfast('store', 'upgrade', '--yes'));
  equal(done.result['upgraded'], true);
  await expectDone(holdfast('schedule', 'create', 'more', '--at', 'daily', '--check'));
  const queued = await expectDone(holdfast('store', 'check', '--queue'));
  await expectDone(holdfast('job', 'attend', queued.result['job'] as string));
  deepEqual(unchecked(store), []);
  equal(await service.stop('SIGTERM'), 0);
  await using again = await home.run();
  const { result } = await expectDone(holdfast('job', 'list'));
  equal((result['jobs'] as unknown[]).length, 2, again.log());
  const { result: listed } = await expectDone(holdfast('schedule', 'list'));
  equal((listed['schedules'] as unknown[]).length, 2);
});

test('in a store whose records have checksums one without is damaged', async () => {
  const { store, holdfast } = place();
  await expectDone(holdfast('store', 'upgrade', '--yes'));
  const point = `sets/plain/points/${STORE_1.plain[0]}.point`;
  for (const name of ['sets/plain/set.json', `sessions/${STORE_1.session}/session.json`, point]) {
    const path = join(store, name);
    const bytes = readFileSync(path);
    // What a release before this one would have written.
    const text = bytes.toString().replace(/,\s*"sum": ?"[0-9a-f]{8}"/, '');
    writeFileSync(path, text);
    const checked = await holdfast('store', 'check');
    equal(checked.code, 6, name);
    match(checked.stdout, /has no checksum|fails its authentication/);
    writeFileSync(path, bytes);
  }
});
