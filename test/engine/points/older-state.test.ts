import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { cpSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { adopt } from '../../../src/engine/operations/adoption.ts';
import { createBackup } from '../../../src/engine/points/backups.ts';
import { forget, points } from '../../../src/engine/points/listed-points.ts';
import { type Engine, noSecrets, openEngine } from '../../../src/engine/base/engine.ts';
import { held, mark } from '../../../src/engine/points/marks.ts';
import { retain } from '../../../src/engine/points/retention.ts';
import { makeSet } from '../../../src/engine/points/sets.ts';
import { checkStore, makeStore } from '../../../src/engine/points/stores.ts';
import type { MarksRecord } from '../../../src/formats/store/catalog/marks.ts';
import { rememberApart } from '../../support/box-state.ts';
import { makeRawDisk } from '../../support/images.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

rememberApart();

const MiB = 2 ** 20;
const signal = new AbortController().signal;

/** A set with two recovery points of `vm`, and what brings back the state of the first in place of the set's files. */
async function place() {
  const root = temporaryDirectory();
  const directory = join(root, 'store');
  await makeStore(directory);
  const image = join(root, 'disk.raw');
  makeRawDisk(image, 2 * MiB, 1);
  const notices: unknown[] = [];
  async function using<T>(work: (engine: Engine) => Promise<T>): Promise<T> {
    await using engine = await openEngine(directory);
    return await work(engine);
  }
  const backUp = (changed?: string) =>
    using((engine) =>
      createBackup(
        engine,
        {
          ...{ set: 'nightly', machine: 'vm', format: 'raw', changed },
          disks: [{ name: 'vda', where: image }],
        },
        {
          ...{ secrets: noSecrets, signal, isSecret: () => false },
          report: (event) => void notices.push(event),
        },
      ),
    );
  await using((engine) => makeSet(engine, 'nightly', undefined));
  const first = (await backUp()).point;
  const sets = join(directory, 'sets');
  const kept = join(root, 'kept');
  cpSync(sets, kept, { recursive: true });
  const second = (await backUp()).point;
  const putBack = (): void => {
    rmSync(sets, { recursive: true });
    cpSync(kept, sets, { recursive: true });
  };
  const problems = () =>
    using(async (engine) => {
      const options = { readData: false, secrets: noSecrets, signal, report() {} };
      return (await checkStore(engine, options)).problems.map(({ what }) => what);
    });
  const forgetOne = (point: string) => using((engine) => forget(engine, point));
  return {
    ...{ root, directory, using, backUp, first, second, sets, putBack, problems, notices },
    forgetOne,
  };
}

test('an older state of a machine is reported by checks, lists and the next backup, which reads all', async () => {
  const it = await place();
  deepEqual(await it.problems(), []);
  it.putBack();
  const said = new RegExp(
    `last recovery point of vm .* is ${it.second}, number 2, .*no point above number 1`,
  );
  const found = await it.problems();
  equal(found.length, 1);
  match(found[0]!, said);
  const all = { set: undefined, machine: undefined };
  const { damaged } = await it.using((engine) => points(engine, all));
  match(damaged[0]!.reason, said);
  // A list of what has changed since the point that is gone.
  const list = join(it.root, 'changed.json');
  writeFileSync(list, JSON.stringify([{ offset: 0, length: 4096 }]));
  const made = await it.backUp(list);
  match(made.damage[0]!.what, said);
  const reason = `${it.second}, from which the changes may be counted, is missing: the store has an older state`;
  deepEqual(made.scopes, [{ disk: 'vda', scope: 'all', reason }]);
  // From now on the chain says so, to every box, until a person has seen it.
  match(
    (await it.problems()).join('\n'),
    new RegExp(`^recovery point ${it.second} was deleted: [^\\n]*$`),
  );
  await it.forgetOne(it.second);
  deepEqual(await it.problems(), []);
  equal((await it.backUp(list)).scopes[0]!.scope, 'changes');
});

test('an older copy that a person has put back is adopted, and is reported no longer', async () => {
  const it = await place();
  it.putBack();
  await it.using(async (engine) => {
    const { plan, older } = await adopt(engine, undefined, { plan: undefined });
    deepEqual(older, [{ set: 'nightly', machine: 'vm', point: it.second }]);
    equal((await adopt(engine, undefined, { plan })).adopted, true);
  });
  deepEqual(await it.problems(), []);
  await it.backUp();
  deepEqual(await it.problems(), []);
  it.putBack();
  equal((await it.problems()).length, 1, 'what was made since then is remembered');
});

test('a machine, or a set, that was removed with all that belongs to it is missed', async () => {
  const it = await place();
  const nightly = join(it.sets, 'nightly');
  for (const name of readdirSync(join(nightly, 'points'))) rmSync(join(nightly, 'points', name));
  rmSync(join(nightly, 'heads'), { recursive: true });
  match((await it.problems()).join('\n'), /has no point of that machine/);
  renameSync(nightly, join(it.root, 'away'));
  match((await it.problems()).join('\n'), /has no point of that machine/);
});

test('a point that was forgotten is not missed, nor is anything in a copy of the store elsewhere', async () => {
  const it = await place();
  for (const point of [it.second, it.first]) {
    await it.forgetOne(point);
    deepEqual(await it.problems(), []);
  }
  const copy = join(it.root, 'copy');
  cpSync(it.directory, copy, { recursive: true });
  await using engine = await openEngine(copy);
  deepEqual(await engine.memory.published.list(), []);
  const known = await it.using(({ memory }) => memory.published.list());
  equal(known[0]?.point, it.second);
});

test('a memory that lags behind, is lost or cannot be written fails no backup and reports nothing', async () => {
  const it = await place();
  const state = join(process.env['HOLDFAST_STATE']!, 'published');
  const kept = join(it.root, 'published');
  cpSync(state, kept, { recursive: true });
  await it.backUp();
  rmSync(state, { recursive: true });
  cpSync(kept, state, { recursive: true });
  deepEqual(await it.problems(), []);
  rmSync(state, { recursive: true });
  writeFileSync(state, 'not a directory');
  await it.backUp();
  ok(JSON.stringify(it.notices).includes('the memory of the box does not have'));
  rmSync(state);
  deepEqual(await it.problems(), []);
});

test('a record of another content under the name of the newest is another one', async () => {
  const it = await place();
  await it.using(async ({ memory }) => {
    const [known] = await memory.published.list();
    await memory.published.forget([known!]);
    await memory.published.note({ ...known!, digest: '0'.repeat(64) });
  });
  match((await it.problems()).join('\n'), /has another point of that name/);
});

test('older marks that are put back take no hold from a point, until a person says again what keeps it', async () => {
  const { using, backUp, directory, problems } = await place();
  const point = (await backUp()).point;
  const change = (work: (before: MarksRecord) => Partial<MarksRecord>) =>
    using((engine) => mark(engine, point, noSecrets, work));
  const marks = join(directory, 'sets/nightly/marks');
  const kept = `${directory}-marks`;
  await change(() => ({ note: 'a note' }));
  cpSync(marks, kept, { recursive: true });
  await change((before) => held(before, 'legal', new Date('2026-11-30T00:00:00Z')));
  deepEqual(await problems(), []);
  await backUp();
  for (const putBack of [() => cpSync(kept, marks, { recursive: true }), () => {}]) {
    rmSync(marks, { recursive: true });
    putBack();
    const found = await problems();
    ok(found.some((it) => it.includes(`what keeps ${point} is older than what this host wrote`)));
    await rejects(
      using((engine) => forget(engine, point)),
      { code: 'KEPT', message: /a hold or a lock may be gone/ },
    );
    const retention = {
      ...{ last: 1, hourly: undefined, daily: 0, weekly: 0, monthly: 0, yearly: 0 },
      ...{ within: undefined, timeZone: undefined },
    };
    const asked = { set: 'nightly', machine: undefined, retention, dryRun: false };
    const judged = (await using((engine) => retain(engine, asked))).points;
    const one = judged.find((it) => it.point === point);
    match(one!.keptBy[0]!.what, /is older than what this host wrote/);
  }
  await change(() => ({ note: 'it may go' }));
  deepEqual(await problems(), []);
  equal((await using((engine) => forget(engine, point))).point, point);
});
