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
import { freesHoles } from '../../../src/store/sweep/frees-holes.ts';
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

/** A point of 4 MiB of noise that was forgotten, and one in which 3 MiB of them are others. */
async function sweptPlace() {
  const home = await engineIn(temporaryDirectory());
  const image = join(temporaryDirectory(), 'vda.raw');
  const contents = noise(4 * MiB, 1);
  writeFileSync(image, contents);
  const { point: first } = await home.backUp('vm', image);
  contents.set(noise(3 * MiB, 2), MiB);
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
  if (!(await freesHoles(engine.store))) return;
  const before = occupied(store);
  const dry = await sweep(engine, { dryRun: true }, work());
  equal(occupied(store), before);
  deepEqual((await usage(engine, { reclaimable: true })).reclaimable, {
    bytes: dry.freedBytes,
    byCopying: dry.copyFreedBytes,
    sets: [{ sets: ['nightly'], bytes: dry.freedBytes }],
  });
  let turns = 0;
  const giveWay = async () => void turns++;
  const done = await sweep(engine, { dryRun: false }, { ...work(), giveWay });
  ok(turns >= 2, 'it gives way to guests before it plans, and before each slice');
  deepEqual({ ...done, dryRun: true }, dry);
  deepEqual({ held: done.held, damage: done.damage }, { held: [], damage: [] });
  ok(done.freedBytes > 2.8 * MiB, `${done.freedBytes}`);
  const freed = before - occupied(store);
  ok(Math.abs(freed - done.freedBytes) < 0.1 * MiB, `${freed} of ${done.freedBytes}`);
  const checked = await checkStore(engine, { readData: true, ...work(KEY) });
  deepEqual(checked.problems, []);
  deepEqual(checked.strays, []);
});

test('without lists a sweep needs the key once, and says so; a lockdown and missing points hold it back', async () => {
  const { engine, store } = await sweptPlace();
  await using _engine = engine;
  if (!(await freesHoles(engine.store))) return;
  const { directory, files } = engine.store;
  const dry = await runCli(['store', 'sweep', '--dry-run', '--store', store]);
  match(dry.stdout, /^\d\.\d\d MiB would be given back: 0 of 4 packs as a whole, \d in part$/m);
  const lockdown = join(directory, 'lockdown.json');
  const record = { since: '2026-11-21T12:00:00Z', uid: 0, persons: 2, approvals: [] };
  await putDurably(files, lockdown, lockdownFile.encode(record));
  await rejects(sweep(engine, { dryRun: false }, work()), /while the lockdown is on/);
  rmSync(lockdown);

  for (const path of packsIn(store).filter((it) => it.endsWith('.refs'))) rmSync(path);
  const shown = await runCli(['store', 'sweep', '--store', store]);
  match(shown.stdout, /^0 B given back/);
  match(shown.stdout, /KEPT all of nightly: .*no list of references yet; .*--passphrase-file/);
  equal(shown.code, 6);
  ok((await sweep(engine, { dryRun: false }, work(KEY))).freedBytes > 2.8 * MiB);

  const points = join(store, 'sets', 'nightly', 'points');
  rmSync(join(points, readdirSync(points).find((it) => it.endsWith('.point'))!));
  const held = await runCli(['store', 'sweep', '--store', store]);
  equal(held.code, 6);
  match(held.stdout, /^KEPT all of nightly: .*it was not forgotten and is missing/m);
});
