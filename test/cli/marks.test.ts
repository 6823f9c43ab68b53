import { deepEqual, equal, match } from 'node:assert/strict';
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
const { holdfast } = home;

interface Point {
  readonly point: string;
  readonly marks?: Readonly<Record<string, unknown>>;
}
const points = async (): Promise<readonly Point[]> =>
  (await expectDone(holdfast('backup', 'list'))).result['points'] as Point[];
const backup = async (): Promise<string> => {
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  const { result } = await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  return result['point'] as string;
};
const people = (...words: string[]) =>
  runCli([...words, '--socket', home.socket]).then(({ stdout }) => stdout);

test('notes, tags, holds and protection are shown, and keep a point from all that forgets', async () => {
  await using _service = await serviceWith(home, image);
  const [{ point }] = (await points()) as [Point];
  const done = async (...words: string[]) =>
    (await expectDone(holdfast('backup', ...words))).result;
  equal((await done('note', point, 'before the migration'))['note'], 'before the migration');
  for (const tag of ['q4', 'gold', 'q4']) await done('tag', point, tag);
  const record = () => readFileSync(join(home.store, 'holdfast-store.json'), 'utf8');
  equal(record().includes('kept-points'), false);
  await done('protect', point);
  equal(record().includes('kept-points'), true, 'earlier releases would forget it');
  await done('hold', point, '--name', 'legal-2026');
  const [marked] = (await points()) as [Point];
  const { note, tags, protected: isProtected, holds } = marked.marks!;
  deepEqual([note, tags, isProtected], ['before the migration', ['gold', 'q4'], true]);
  match(JSON.stringify(holds), /"name":"legal-2026","since":"20/);
  match(
    await people('backup', 'list'),
    /protected, held \(legal-2026\), tags gold q4, "before the migration"/,
  );
  const shown = await people('backup', 'show', point);
  match(shown, /note +before the migration\n/);
  match(shown, /hold +legal-2026, since 20/);

  const newer = await backup();
  const refused = await holdfast('backup', 'forget', point);
  equal(refused.code, 3);
  match(refused.stderr, /is protected .*backup unprotect.*held by "legal-2026".*backup release/s);
  await expectDone(holdfast('backup', 'retain', 'nightly', '--keep-last', '1'));
  equal((await points()).length, 2);
  await done('unprotect', point);
  equal((await holdfast('backup', 'release', point, '--name', 'legal')).code, 5);
  await done('release', point, '--name', 'legal-2026');
  await done('untag', point, 'gold');
  await done('forget', point);
  deepEqual(
    (await points()).map((it) => it.point),
    [newer],
  );
  equal(
    (await holdfast('backup', 'note', newer, 'a\u001b[2Jb')).code,
    2,
    'a terminal would obey it',
  );
  equal((await holdfast('backup', 'tag', newer, '../x')).code, 2);
});

test('a lock lasts by trusted time, is only extended, and a set locks what is new', async () => {
  await using _service = await home.run();
  const day = (ahead: number) =>
    new Date(Date.now() + ahead * 86_400_000).toISOString().slice(0, 'YYYY-MM-DD'.length);
  const [{ point }] = (await points()) as [Point];
  const lock = (until: string) => holdfast('backup', 'lock', point, '--until', until);
  for (const until of ['tomorrow', '2027-02-30', day(-1), day(4000)]) {
    equal((await lock(until)).code, 2, until);
  }
  equal((await expectDone(lock(day(30)))).result['lockedUntil'], `${day(30)}T00:00:00.000Z`);
  match((await lock(day(20))).stderr, /can be extended, never shortened/);
  await expectDone(lock(day(40)));
  match((await holdfast('backup', 'forget', point)).stderr, new RegExp(`locked until ${day(40)}`));

  await expectDone(holdfast('set', 'lock', 'nightly', '--days', '7'));
  match(await people('set', 'list'), /7 days/);
  const newer = await backup();
  const until = (await points()).find((it) => it.point === newer)!.marks!['lockedUntil'] as string;
  const days = (Date.parse(until) - Date.now()) / 86_400_000;
  equal(Math.round(days), 7);
  equal((await holdfast('backup', 'forget', newer)).code, 3);
  await backup();
  const { result } = await expectDone(holdfast('backup', 'retain', 'nightly', '--keep-last', '1'));
  deepEqual(result['forgotten'], []);

  // The host was off for 100 days, if its clock is right.
  const file = join(process.env['HOLDFAST_STATE']!, 'trusted-time.json');
  const record = JSON.parse(readFileSync(file, 'utf8')) as { wallMs: number };
  const past = 100 * 86_400_000;
  const before = { ...record, bootId: 'another', sum: undefined };
  await _service.stop('SIGKILL');
  const { encodeSummed } = await import('../../src/formats/store/base/json-record.ts');
  writeFileSync(file, encodeSummed({ ...before, wallMs: record.wallMs - past }));
  await using _again = await home.run();
  const shown = await people('clock', 'show');
  match(shown, /not counted +\d+\.\d h/);
  match((await holdfast('backup', 'forget', newer)).stderr, /trusted|acknowledge/);
  match(await people('clock', 'confirm'), /another user has to confirm it within an hour/);
});
