import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { openBox } from '../../../src/box/box.ts';
import { takeLease } from '../../../src/catalog/leases.ts';
import { newPointId, pointPath } from '../../../src/catalog/points.ts';
import { publishPoint } from '../../../src/catalog/publication.ts';
import { retain } from '../../../src/engine/points/retention.ts';
import { lockdownFile } from '../../../src/formats/store/service/alarm.ts';
import type { PointOrigin } from '../../../src/formats/store/catalog/point.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { newStore, simulatedWorld } from '../../support/store.ts';
import { pointIds } from '../../../src/catalog/point-places.ts';

const DAY = 86_400_000;
const NONE = {
  ...{ last: 0, hourly: undefined, daily: 0, weekly: 0, monthly: 0, yearly: 0 },
  ...{ within: undefined, timeZone: undefined },
};

async function machineRoom() {
  const simulated = simulatedWorld();
  let nowMs = Date.UTC(2026, 10, 1);
  const world = { ...simulated, clock: { ...simulated.clock, now: () => new Date(nowMs) } };
  const { store, set } = await newStore(world);
  const box = openBox(world, { directory: '/box', credentials: undefined });
  return {
    engine: { store, box, memory: box.of(store) },
    setClock: (ms: number) => void (nowMs = ms),
    left: async () => new Set(await pointIds(store, 'set')),
    publish: (machine: string, origin: PointOrigin = 'backup') =>
      publishPoint(store, set, {
        id: newPointId(world, machine),
        ...{ machine, origin, parent: undefined },
        disks: [{ name: 'vda', size: 512, source: 'x', reference: undefined }],
        stats: { readBytes: 0, storedBytes: 0 },
      }),
  };
}
const of = (last: number, dryRun = false) => ({
  ...{ set: 'set', machine: undefined, dryRun },
  retention: { ...NONE, last },
});

test('a backup made while the clock was wrong is neither forgotten nor a reason to forget a newer one', async () => {
  const { engine, publish, setClock, left } = await machineRoom();
  const start = Date.UTC(2026, 10, 1);
  const first = await publish('vm1');
  setClock(Date.UTC(2036, 0, 1));
  const ahead = await publish('vm1');
  setClock(start + DAY);
  const second = await publish('vm1');
  const other = await publish('vm2');
  const dry = await retain(engine, of(1, true));
  const { points, ...counts } = dry;
  deepEqual(counts, {
    retention: { ...NONE, hourly: 0, last: 1, timeZone: 'UTC' },
    ...{ forgotten: [first.id], inUse: [], kept: 3, future: [ahead.id], damaged: [] },
    oldest: [
      { machine: 'vm1', point: second.id, created: second.created },
      { machine: 'vm2', point: other.id, created: other.created },
    ],
  });
  deepEqual(
    new Map(points.map((it) => [it.point, it.keptBy.map(({ by, what }) => `${by}: ${what}`)])),
    new Map([
      [first.id, []],
      [ahead.id, ['future: its date is in the future']],
      [second.id, ['last: 1 of 1']],
      [other.id, ['last: 1 of 1']],
    ]),
  );
  deepEqual(await retain(engine, of(1)), dry);
  setClock(Date.UTC(2016, 0, 1));
  const back = await publish('vm1');
  setClock(start + 2 * DAY);
  const { forgotten } = await retain(engine, of(1));
  deepEqual(forgotten, [second.id]);
  deepEqual(await left(), new Set([ahead.id, back.id, other.id]));
});

test('a session that was kept counts for no rule and stays', async () => {
  const { engine, publish, left } = await machineRoom();
  const older = await publish('vm1');
  const kept = await publish('vm1', 'session');
  const newer = await publish('vm1');
  const last = await publish('vm1', 'session');
  const { forgotten, kept: count, points, oldest } = await retain(engine, of(1));
  deepEqual([forgotten, count], [[older.id], 3]);
  deepEqual(
    points.map(({ point, keptBy }) => [point, ...keptBy.map(({ by }) => by)]),
    [[older.id], [kept.id, 'session'], [newer.id, 'last'], [last.id, 'session']],
  );
  deepEqual(oldest, [{ machine: 'vm1', point: newer.id, created: newer.created }]);
  deepEqual(await left(), new Set([kept.id, newer.id, last.id]));
});

test('what a session uses stays and is named with it, and a damaged point is named', async () => {
  const { engine, publish, left } = await machineRoom();
  const { store } = engine;
  const used = await publish('vm1');
  const free = await publish('vm1');
  const newest = await publish('vm1');
  const broken = await publish('vm1');
  const foreign = await publish('vm2');
  await takeLease(store, 's1', { set: 'set', point: used.id, holder: 'session s1' });
  for (const point of [broken, foreign]) {
    await putDurably(store.files, pointPath(store, point), new Uint8Array(9));
  }
  const asked = { ...of(1), machine: 'vm1' };
  const dry = await retain(engine, { ...asked, dryRun: true });
  equal((await left()).size, 5);
  const done = await retain(engine, asked);
  deepEqual(done, dry);
  deepEqual([done.forgotten, done.inUse, done.kept], [[free.id], [used.id], 2]);
  const [first] = done.points;
  deepEqual(
    [first!.stays, first!.keptBy],
    [
      true,
      [{ by: 'used', what: 'it is in use by session s1 (keep or discard that session first)' }],
    ],
  );
  deepEqual(done.oldest, [{ machine: 'vm1', point: used.id, created: used.created }]);
  deepEqual(
    done.damaged.map(({ path }) => path),
    [pointPath(store, broken)],
  );
  ok((await left()).has(newest.id) && (await left()).has(broken.id));
});

test('rules that cannot be are refused before anything is forgotten', async () => {
  const { engine, publish, left } = await machineRoom();
  await publish('vm1');
  await publish('vm1');
  const asked = (rules: object) =>
    retain(engine, { ...of(1), retention: { ...of(1).retention, ...rules } });
  await rejects(asked({ timeZone: 'Berlin' }), /time zone such as Europe\/Berlin/);
  await rejects(asked({ within: '3m' }), /"3m" is not a time such as 14d/);
  await rejects(asked({ last: 0 }), /rules keep nothing/);
  equal((await left()).size, 2);
});

test('a lockdown that only the store knows forbids as much, and it is said how it ends', async () => {
  const { engine, left, publish } = await machineRoom();
  await publish('vm1');
  await publish('vm1');
  const record = { since: '2026-11-21T12:00:00Z', uid: 0, persons: 2, approvals: [] };
  const { files } = engine.store;
  const path = `${engine.store.directory}/lockdown.json`;
  await putDurably(files, path, lockdownFile.encode(record));
  await rejects(
    retain(engine, of(1)),
    /while the lockdown is on.*"holdfast lockdown on" and "off"/,
  );
  await files.makeDirectory('/box');
  await putDurably(files, '/box/lockdown.json', lockdownFile.encode(record));
  await rejects(retain(engine, of(1)), /the lockdown is on: see "holdfast lockdown show"/);
  deepEqual((await left()).size, 2);
});
