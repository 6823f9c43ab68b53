import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { checkStore } from '../../../src/engine/points/stores.ts';
import { sweep } from '../../../src/engine/upkeep/sweep.ts';
import { usage } from '../../../src/engine/operations/usage.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { noSecrets } from '../../../src/engine/base/engine.ts';
import { lockdownFile } from '../../../src/formats/store/service/alarm.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { runCli } from '../../support/cli.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const MiB = 2 ** 20;
const work = (secrets = noSecrets) => ({
  secrets,
  signal: new AbortController().signal,
  report() {},
});

/** A point of 12 MiB of noise that was forgotten, and one in which 8 MiB of them are others. */
async function sweptPlace() {
  const home = await engineIn(temporaryDirectory());
  const image = join(temporaryDirectory(), 'vda.raw');
  const contents = noise(12 * MiB, 1);
  writeFileSync(image, contents);
  const { point: first } = await home.backUp('vm', image);
  contents.set(noise(8 * MiB, 2), 2 * MiB);
  writeFileSync(image, contents);
  await home.backUp('vm', image);
  const engine = await home.open();
  await forgetPoint(engine.store, { set: 'nightly', id: first });
  return { engine, store: home.store };
}

function packsIn(store: string): string[] {
  const group = join(store, 'packs', '00000');
  return readdirSync(group).map((name) => join(group, name));
}

const occupied = (store: string): number =>
  packsIn(store).reduce((sum, path) => sum + statSync(path).blocks * 512, 0);

test('a sweep without any key gives the space back, as its dry run and "store usage" have said', async () => {
  const { engine, store } = await sweptPlace();
  await using _engine = engine;
  const before = occupied(store);
  const dry = await sweep(engine, { dryRun: true }, work());
  equal(occupied(store), before);
  deepEqual((await usage(engine, { reclaimable: true })).reclaimable, {
    bytes: dry.freedBytes,
    sets: [{ sets: ['nightly'], bytes: dry.freedBytes }],
  });
  const done = await sweep(engine, { dryRun: false }, work());
  deepEqual({ ...done, dryRun: true }, dry);
  deepEqual({ held: done.held, damage: done.damage }, { held: [], damage: [] });
  ok(done.freedBytes > 7.5 * MiB, `${done.freedBytes}`);
  const freed = before - occupied(store);
  ok(Math.abs(freed - done.freedBytes) < 0.1 * MiB, `${freed} of ${done.freedBytes}`);
  const checked = await checkStore(engine, { readData: true, ...work(KEY) });
  deepEqual(checked.problems, []);
  deepEqual(checked.strays, []);
});

test('without lists a sweep needs the key once, and says so', async () => {
  const { engine, store } = await sweptPlace();
  await using _engine = engine;
  const lists = packsIn(store).filter((path) => path.endsWith('.refs'));
  for (const path of lists) rmSync(path);
  const { held, freedBytes } = await sweep(engine, { dryRun: false }, work());
  equal(freedBytes, 0);
  deepEqual([...new Set(held.map(({ needsKey }) => needsKey))], [true]);
  const shown = await runCli(['store', 'sweep', '--store', store]);
  match(shown.stdout, /KEPT all of nightly: .*no list of references yet; .*--passphrase-file/);
  equal(shown.code, 0);
  ok((await sweep(engine, { dryRun: false }, work(KEY))).freedBytes > 7 * MiB);
});

test('a recovery point that is gone without having been forgotten holds its set back', async () => {
  const { engine, store } = await sweptPlace();
  await using _engine = engine;
  const directory = join(store, 'sets', 'nightly', 'points');
  const name = readdirSync(directory).find((it) => it.endsWith('.point'))!;
  rmSync(join(directory, name));
  const shown = await runCli(['store', 'sweep', '--store', store]);
  equal(shown.code, 6);
  match(shown.stdout, /^KEPT all of nightly: .*it was not forgotten and is missing/m);
});

test('nothing is swept during a lockdown, and a dry run of a command says what would be given back', async () => {
  const { engine, store } = await sweptPlace();
  await using _engine = engine;
  const shown = await runCli(['store', 'sweep', '--dry-run', '--store', store]);
  match(
    shown.stdout,
    /^\d+(\.\d+)? MiB would be given back: 1 of 4 packs as a whole, \d in part$/m,
  );
  const record = { since: '2026-11-21T12:00:00Z', uid: 0, persons: 2, approvals: [] };
  const path = join(store, 'lockdown.json');
  await putDurably(engine.store.files, path, lockdownFile.encode(record));
  await rejects(sweep(engine, { dryRun: false }, work()), /while the lockdown is on/);
});
