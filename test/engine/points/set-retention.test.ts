import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { test } from 'tap';
import { openBox } from '../../../src/box/box.ts';
import { pointIds } from '../../../src/catalog/point-places.ts';
import { newPointId } from '../../../src/catalog/points.ts';
import { publishPoint } from '../../../src/catalog/publication.ts';
import type { Engine } from '../../../src/engine/base/engine.ts';
import { retainAfter } from '../../../src/engine/points/retain-after.ts';
import { changeSet, retainByRules, shownRules } from '../../../src/engine/points/set-retention.ts';
import type { RequestOf } from '../../../src/operations/operations.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { newStore } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const NONE: RequestOf<'backup/retain'>['retention'] & object = {
  ...{ last: 0, hourly: undefined, daily: 0, weekly: 0, monthly: 0, yearly: 0 },
  ...{ within: undefined, timeZone: undefined },
};
const RULES = { ...NONE, last: 2, within: '1h', timeZone: 'Europe/Berlin' };

async function place(passphrase?: string) {
  const world = realWorld();
  const home = temporaryDirectory();
  let nowMs = Date.UTC(2026, 10, 1);
  const timed = { ...world, clock: { ...world.clock, now: () => new Date((nowMs += 7_200_000)) } };
  const { store, set } = await newStore(timed, {
    ...{ home: join(home, 'store'), ...(passphrase !== undefined && { passphrase }) },
  });
  const on = (name: string) => {
    const directory = join(home, name);
    const box = openBox(timed, { directory, credentials: undefined });
    return { store, box, memory: box.of(store) } as unknown as Engine;
  };
  async function publish(count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      const draft = { id: newPointId(timed, 'vm'), machine: 'vm', parent: undefined, disks: [] };
      const stats = { readBytes: 0, storedBytes: 0 };
      await publishPoint(store, set, { ...draft, origin: 'backup', stats });
    }
  }
  const engine = on('box');
  const change = (retention: typeof NONE | undefined, by = engine) =>
    changeSet(by, { set: 'set', retention, keepAll: retention === undefined });
  const notices: string[] = [];
  const after = async (by = engine, rules?: typeof NONE) => {
    const done = await retainAfter(by, { set: 'set', machine: 'vm' }, rules, (event) => {
      if (event.event === 'notice') notices.push(event.message);
    });
    return done && done.forgotten.length;
  };
  const left = async () => (await pointIds(store, 'set')).length;
  const path = join(store.directory, 'sets/set/retention.json');
  return { engine, on, path, files: store.files, publish, change, after, left, notices };
}
const asked = (dryRun: boolean) => ({
  ...{ set: 'set', machine: undefined, retention: undefined, dryRun },
});

test('the rules of a set are shown, carried out after a backup, and replaced by others or none', async () => {
  const { engine, publish, change, after, left, notices } = await place();
  await publish(5);
  equal(await after(), undefined, 'there are no rules');
  await rejects(
    retainByRules(engine, asked(false)),
    /set "set" has no retention rules: .*set change set/,
  );
  const shown = { ...RULES, hourly: 0 };
  deepEqual(await change(RULES), { set: 'set', retention: shown, retentionProblem: null });
  deepEqual((await retainByRules(engine, asked(true))).forgotten.length, 3);
  equal(await after(), 3);
  equal(await left(), 2);
  deepEqual(notices, ['3 recovery points of vm forgotten, by the retention of set "set"']);
  await publish(3);
  equal(await after(engine, { ...NONE, last: 4 }), 1, 'rules of a job replace those of the set');
  await change({ ...NONE, last: 3 });
  equal(await after(), 1);
  deepEqual((await change(undefined)).retention, null);
  await publish(2);
  equal(await after(), undefined);
  equal(await left(), 5);
});

test('rules of another host, older ones that were put back, and damaged ones forget nothing', async () => {
  const { engine, on, path, files, publish, change, after, left, notices } = await place();
  await publish(4);
  await change(RULES);
  const old = await files.readFile(path, 9999);
  const stranger = on('other');
  equal(await after(stranger), null);
  match(
    notices[0]!,
    /nothing was forgotten: .*these rules were set on another host.*holdfast set change set/,
  );
  const { retention, retentionProblem } = await shownRules(stranger, 'set');
  deepEqual([retention?.last, retentionProblem === null], [2, false]);
  await change({ ...NONE, last: 4 });
  equal(await after(), 0);
  await putDurably(files, path, old);
  equal(await after(), null);
  await change(undefined);
  await putDurably(files, path, old);
  equal(await after(), null);
  await putDurably(files, path, old.slice(0, 40));
  equal(await after(), null);
  match((await shownRules(engine, 'set')).retentionProblem!, /retention\.json/);
  equal(await left(), 4);
  await change(RULES, stranger);
  equal(await after(stranger), 2);
});

test('where the memory of the box is damaged, that is said, and the rules stay as they are', async () => {
  const { engine, path, files, change } = await place('secret');
  await change(RULES);
  const before = await files.readFile(path, 9999);
  await putDurably(files, join(engine.box.directory, 'memory.json'), new Uint8Array(40));
  const { retentionProblem } = await shownRules(engine, 'set');
  match(retentionProblem!, /not applied: .*memory\.json cannot be used.*store adopt/);
  await rejects(change({ ...NONE, last: 7 }), {
    code: 'CORRUPT',
    message: /stays as it is: .*memory\.json cannot be used.*store adopt/,
  });
  deepEqual(await files.readFile(path, 9999), before);
});

test('of two changes at once one is carried out, whole', async () => {
  const { engine, change } = await place();
  const { memory } = engine;
  let isHeld: (() => void) | undefined;
  const held = new Promise<void>((resolve) => (isHeld = resolve));
  const slow = {
    ...memory,
    settle: async (orders: Parameters<typeof memory.settle>[0]) => {
      isHeld!();
      await setTimeout(200);
      await memory.settle(orders);
    },
  };
  const first = change(RULES, { ...engine, memory: slow });
  await held;
  await change({ ...NONE, last: 7 });
  await first;
  const { retention, retentionProblem } = await shownRules(engine, 'set');
  deepEqual([retention?.last, retentionProblem], [7, null]);
});

test('rules that cannot be are refused, and those before stay', async () => {
  const { engine, change } = await place();
  await change(RULES);
  await rejects(change({ ...NONE }), /rules keep nothing/);
  await rejects(change({ ...NONE, last: 1, timeZone: 'Berlin' }), /is not a time zone/);
  await rejects(
    changeSet(engine, { set: 'set', retention: RULES, keepAll: true }),
    /give either rules/,
  );
  await rejects(
    changeSet(engine, { set: 'set', retention: undefined, keepAll: false }),
    /give either rules/,
  );
  equal((await shownRules(engine, 'set')).retention?.last, 2);
});
