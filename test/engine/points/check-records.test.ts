import { deepEqual, equal, match, ok } from 'node:assert/strict';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openEngine } from '../../../src/engine/base/engine.ts';
import { checkStore } from '../../../src/engine/points/stores.ts';
import { rememberApart } from '../../support/box-state.ts';
import { expectDone, runCli } from '../../support/cli.ts';
import { makeRawDisk } from '../../support/images.ts';
import { STORE_1, storeOfRelease1 } from '../../support/store-1.ts';

rememberApart();

/** Without a passphrase to be stretched each time. */
const SECRET = { kind: 'recovery-key', text: STORE_1.recoveryKey } as const;

/** An upgraded store with all kinds of files, and a passphrase for it: one for all tests, which leave it as it was. */
let made: ReturnType<typeof makeUpgraded> | undefined;
const upgraded = () => (made ??= makeUpgraded());

async function makeUpgraded() {
  const store = storeOfRelease1();
  const passphrase = join(store, '..', 'passphrase');
  writeFileSync(passphrase, `${STORE_1.passphrase}\n`);
  const holdfast = (...args: string[]) =>
    runCli([...args, '--store', store, '--passphrase-file', passphrase, '--json']);
  await expectDone(holdfast('store', 'upgrade', '--yes'));
  const image = join(store, '..', 'disk.raw');
  makeRawDisk(image, 2 ** 23, 50);
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  await expectDone(holdfast('backup', 'forget', STORE_1.nightly[1]));
  await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  await expectDone(holdfast('backup', 'protect', 'nightly/vm@latest'));
  await expectDone(holdfast('set', 'change', 'nightly', '--keep-last', '9'));
  await expectDone(holdfast('set', 'lock', 'nightly', '--days', '1'));
  return { store, holdfast };
}

async function check(store: string): Promise<string[]> {
  await using engine = await openEngine(store);
  const { problems } = await checkStore(engine, {
    ...{ readData: false, secrets: async (_set, when) => (when === 'needed' ? SECRET : undefined) },
    ...{ signal: new AbortController().signal, report: () => {} },
  });
  return problems.map(({ where, what }) => `${where}: ${what}`);
}

/** Which files a check looks at: how they are missed, and how damage in them is reported. */
const CLASSES: readonly {
  readonly files: RegExp;
  readonly flipped: boolean;
  readonly deleted: boolean;
}[] = [
  // Nothing reads them: a scrub and a repair compare them.
  { files: /^copies\//, flipped: false, deleted: false },
  // What makes a store and its sets.
  { files: /^holdfast-store(\.copy)?\.json$/, flipped: true, deleted: true },
  { files: /^sets\/\w+\/set(\.copy)?\.json$/, flipped: true, deleted: true },
  { files: /\.(point|forgotten|head)$/, flipped: true, deleted: true },
  // What people said, and not each set has.
  { files: /\.marks(\.copy)?$/, flipped: true, deleted: false },
  { files: /^sets\/\w+\/(retention\.json|set\.lock(\.copy)?)$/, flipped: true, deleted: false },
  // The packs say it as well; older stores have none.
  { files: /^last-pack\.json$/, flipped: true, deleted: false },
  // A cache: a start without it is slower.
  { files: /\.profile$/, flipped: true, deleted: false },
  // What a session has to have. Its data have no checksums yet.
  { files: /^sessions\/.*\/(session\.json|vda\.map)$/, flipped: true, deleted: true },
  { files: /^sessions\/.*\/vda\.data$/, flipped: false, deleted: true },
  { files: /^leases\/.*\.json$/, flipped: true, deleted: true },
  // Jobs and schedules: a check cannot know of one that is gone.
  { files: /^sessions\/.*\/served\.json$/, flipped: true, deleted: false },
  { files: /^(jobs|schedules)\/.*\.json$/, flipped: true, deleted: false },
  { files: /^audit\.log$/, flipped: true, deleted: false },
  // The one has no checksum, the other has one as soon as the service writes it again.
  { files: /^(clock|growth)\.json$/, flipped: false, deleted: false },
  // For people, caches, locks; packs have tests of their own.
  {
    files: /^jobs\/.*\.log$|^(block-)?index\/|(^|[/.])lock$|^packs\/|^box\.json$/,
    flipped: false,
    deleted: false,
  },
];

test('a check finds damage in each file that a store has to have, and misses each that is gone', async () => {
  const { store } = await upgraded();
  deepEqual(await check(store), []);
  const names = (readdirSync(store, { recursive: true }) as string[]).filter((name) =>
    statSync(join(store, name)).isFile(),
  );
  const seen = new Set<RegExp>();
  for (const name of names.sort()) {
    const of = CLASSES.find(({ files }) => files.test(name));
    ok(of, `${name} has no class`);
    seen.add(of.files);
    const path = join(store, name);
    const session = /^sessions\/([^/]+)/.exec(name)?.[1];
    const said = session === undefined ? name : session;
    if (of.flipped) {
      const bytes = readFileSync(path);
      const at = Math.floor(bytes.length / 2);
      writeFileSync(path, bytes.with(at, bytes[at]! ^ 4));
      const problems = await check(store);
      ok(
        problems.some((line) => line.includes(said)),
        `${name} flipped: ${problems.join()}`,
      );
      ok(!problems.some((line) => /^(\/\S+): \1/.test(line)), `twice: ${problems.join()}`);
      writeFileSync(path, bytes);
    }
    if (of.deleted) {
      renameSync(path, join(store, '..', 'away'));
      const problems = await check(store);
      const id = /([^/]+)\.(point|forgotten|json)$/.exec(name)?.[1];
      const byName = id !== undefined && /^(sets\/.*\/points|leases)\//.test(name) ? id : said;
      ok(
        problems.some((line) => line.includes(byName)),
        `${name} deleted: ${problems.join()}`,
      );
      renameSync(join(store, '..', 'away'), path);
    }
  }
  equal(seen.size, CLASSES.length, 'the store has files of every class');
  deepEqual(await check(store), []);
});

test('whole directories that are gone are missed, and end neither the check nor the listing of others', async () => {
  const { store, holdfast } = await upgraded();
  for (const name of ['sets', 'sessions', 'leases', 'packs', 'sets/plain/points']) {
    const path = join(store, name);
    renameSync(path, join(store, '..', 'away'));
    const problems = await check(store);
    ok(
      problems.some((line) => line.startsWith(`${path}: the directory is missing`)),
      problems.join(),
    );
    if (name === 'sets/plain/points') await expectDone(holdfast('backup', 'list'));
    renameSync(join(store, '..', 'away'), path);
  }
});

test('a record under the name of another one is noticed', async () => {
  const { store } = await upgraded();
  for (const [from, to] of [
    ['schedules/weekly.json', 'schedules/daily.json'],
    ['sets/nightly/profiles/vm.profile', 'sets/nightly/profiles/other.profile'],
    ['sets/nightly/retention.json', 'sets/plain/retention.json'],
  ] as const) {
    cpSync(join(store, from), join(store, to));
    match((await check(store)).join('\n'), new RegExp(`${to}: it is the record of`));
    rmSync(join(store, to));
  }
  mkdirSync(join(store, 'sessions/left'));
  writeFileSync(join(store, 'sessions/left/vda.map'), 'x');
  match((await check(store)).join('\n'), /session left: its journal session\.json is missing/);
  rmSync(join(store, 'sessions/left'), { recursive: true });
});

test('what is not of Holdfast is shown, and is not damage', async () => {
  const { store, holdfast } = await upgraded();
  const clean = await expectDone(holdfast('store', 'check'));
  deepEqual(clean.result['strays'], []);
  const strays = ['notes.txt', 'packs/1.pack', 'sets/nightly/points/x.point.bak', 'leases/more'];
  for (const name of strays) writeFileSync(join(store, name), 'x');
  const checked = await expectDone(holdfast('store', 'check'));
  deepEqual(
    (checked.result['strays'] as string[]).toSorted(),
    strays.map((it) => join(store, it)).toSorted(),
  );
  for (const name of strays) rmSync(join(store, name));
});

test('a key that opens nothing is not damage, and no answer that all is well', async () => {
  const { store, holdfast } = await upgraded();
  const wrong = join(store, '..', 'wrong');
  writeFileSync(wrong, 'another\n');
  const checkWith = (...more: string[]) =>
    runCli(['store', 'check', '--store', store, '--json', ...more]);
  const tried = await checkWith('--passphrase-file', wrong);
  equal(tried.code, 4, tried.stdout);
  const told = tried.lines.find((line) => 'wrongKey' in line);
  deepEqual([told?.['wrongKey'], told?.['problems']], [['nightly'], []]);
  const none = await expectDone(checkWith());
  deepEqual([none.result['locked'], none.result['wrongKey']], [['nightly'], []]);
  await expectDone(holdfast('store', 'check'));
  // Damage comes first: it is there whatever the key.
  const path = join(store, 'schedules/weekly.json');
  const schedule = readFileSync(path, 'utf8');
  writeFileSync(path, schedule.replace('Sun', 'Mon'));
  equal((await checkWith('--passphrase-file', wrong)).code, 6);
  writeFileSync(path, schedule);
});
