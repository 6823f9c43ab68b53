import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { confirmClock, lockBegin, trustedTime } from '../../../src/alarms/trusted-time.ts';
import { CatalogError } from '../../../src/catalog/catalog-error.ts';
import { pointIds } from '../../../src/catalog/point-places.ts';
import { newPointId } from '../../../src/catalog/points.ts';
import { publishPoint } from '../../../src/catalog/publication.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { changeMarks } from '../../../src/catalog/removal/marks.ts';
import { laterOf } from '../../../src/catalog/removal/obstacles.ts';
import { lockOfNewPoint, putLockDays } from '../../../src/catalog/removal/set-lock.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { hostTime } from '../../support/host-time.ts';
import { below, seeded } from '../../support/random.ts';
import { newStore, simulatedWorld } from '../../support/store.ts';

const HOUR = 60 * 60_000;
const DAY = 24 * HOUR;
const START = '2026-11-30T12:00:00.000Z';
const EVENTS = 1000;
const POINTS = 3;
/** What restarts with a forged clock may gain of a lock: 7 days in 30. */
const gainMs = (days: number): number => 7 * DAY * Math.ceil(days / 30);
const DRIFT = 500 / 1_000_000;

interface Locked {
  readonly id: string;
  /** In truth. */
  readonly publishedMs: number;
  days: number;
  /** By what trusted time was behind then, and nothing said so: by that much a confirmation ends the lock early. */
  behindMs: number;
}

/** A host whose clocks are `time`, with a set that locks its points, and a person who tries to remove them. */
async function lockedSet(seed: number) {
  const random = seeded(seed);
  const time = hostTime(START);
  const home = crashingFs(random);
  const world = { ...simulatedWorld(home.files, seed), clock: time.clock };
  // The boot changes; the files stay.
  const files = time.files(home.files);
  const { store, set: plain } = await newStore({ ...world, files }, { passphrase: 'secret' });
  await files.makeDirectory('/box');
  await files.syncDirectory('/');
  const trusted = async () => (await trustedTime(store, '/box')).trustedMs;
  const begin = async () => lockBegin(await trustedTime(store, '/box'), time.clock.now().getTime());
  const set = { ...plain, lockBegin: begin };
  const live = new Map<string, Locked>();
  const rightMs = (): number => Date.parse(START) + time.trueMs();
  const behind = (beginMs: number): number => Math.max(0, rightMs() - beginMs);

  async function publish(): Promise<void> {
    const days = 1 + below(random, 60);
    await putLockDays(store, set, days);
    const { id } = await publishPoint(store, set, {
      id: newPointId(store, 'vm1'),
      machine: 'vm1',
      parent: undefined,
      origin: 'backup',
      disks: [{ name: 'vda', size: 512, source: 'x', reference: undefined }],
      stats: { readBytes: 0, storedBytes: 0 },
      lockedUntil: await lockOfNewPoint(store, set),
    });
    live.set(id, { id, publishedMs: time.trueMs(), days, behindMs: behind(await begin()) });
  }
  /** Tries to remove every point; passes those that leave to `left`. */
  async function removeAll(left: (it: Locked) => void): Promise<void> {
    for (const it of live.values()) {
      try {
        await forgetPoint(store, { set: 'set', id: it.id }, await trusted());
      } catch (cause) {
        if (!(cause instanceof CatalogError) || cause.code !== 'KEPT') throw cause;
        continue;
      }
      live.delete(it.id);
      left(it);
    }
    equal((await pointIds(store, 'set')).length, live.size);
  }
  async function extend(it: Locked): Promise<void> {
    const days = it.days + below(random, 30);
    const beginMs = await begin();
    const until = new Date(beginMs + days * DAY).toISOString();
    await changeMarks(store, set, it.id, (marks) => ({
      ...marks,
      lockedUntil: laterOf(marks.lockedUntil, until),
    }));
    // From now on, at least that long.
    live.set(it.id, { id: it.id, publishedMs: time.trueMs(), days, behindMs: behind(beginMs) });
  }
  const confirm = (uid: number) => confirmClock(store, '/box', uid);
  /** A user confirms the right clock; then an attacker sets it, and does the same. */
  async function interfere(stepMs: number): Promise<void> {
    time.step(rightMs() - time.clock.now().getTime());
    await confirm(1000);
    time.step(stepMs);
    await confirm(666);
  }
  /** Two users confirm the right clock. */
  async function settle(): Promise<void> {
    time.step(rightMs() - time.clock.now().getTime());
    await confirm(1000);
    await confirm(1001);
    equal((await trustedTime(store, '/box')).uncountedMs, 0);
    for (const it of live.values()) {
      it.days -= it.behindMs / DAY;
      it.behindMs = 0;
    }
  }
  return { random, time, home, live, publish, removeAll, extend, interfere, settle, confirm };
}

for (const seed of [1]) {
  test(`no locked point leaves through ${EVENTS} jumps, drifts, restarts and power-offs (seed ${seed})`, async () => {
    const it = await lockedSet(seed);
    const { random, time, live } = it;
    let released = 0;
    const judge = ({ id, publishedMs, days }: Locked): void => {
      released += 1;
      const stayedMs = time.trueMs() - publishedMs;
      const least = (days * DAY - gainMs(days)) * (1 - 2 * DRIFT);
      ok(stayedMs >= least, `${id}: ${stayedMs / DAY} of ${days} days`);
    };
    const drift = (): number => (below(random, 2001) / 1000 - 1) * DRIFT;
    const act: readonly (() => void | Promise<void>)[] = [
      () => time.run(below(random, 12) * HOUR, drift()),
      () => time.run(below(random, 5) * DAY, drift()),
      () => time.step((below(random, 800) - 400) * DAY),
      () => time.step((below(random, 120) - 60) * 60_000),
      () => time.off(below(random, 48) * HOUR),
      () => time.off(below(random, HOUR), (below(random, 800) - 400) * DAY),
      () => time.off(below(random, 40) * DAY),
      () => it.interfere((1 + below(random, 800)) * DAY),
      () => it.settle(),
    ];
    for (let event = 0; event < EVENTS; event++) {
      if (live.size < POINTS) await it.publish();
      await act[below(random, act.length)]!();
      await it.removeAll(judge);
      const [first] = live.values();
      if (first && below(random, 40) === 0) await it.extend(first);
    }
    ok(released > 20, `${released} were released`);
  });
}

test('on an honest host no lock ends early, and each one ends', async () => {
  const it = await lockedSet(3);
  const { random, time, live } = it;
  const judge = ({ id, publishedMs, days }: Locked): void => {
    const stayedMs = time.trueMs() - publishedMs;
    ok(stayedMs >= days * DAY - 1000, `${id}: ${stayedMs / DAY} of ${days} days`);
    ok(stayedMs <= (days + 3) * DAY, `${id}: ${stayedMs / DAY} of ${days} days`);
  };
  for (let day = 0; day < 300; day++) {
    if (live.size < POINTS && day < 230) await it.publish();
    time.run(20 * HOUR, (below(random, 101) / 100 - 0.5) * (100 / 1_000_000));
    await it.removeAll(judge);
    // A host that is off each night.
    if (day % 2 === 0) time.off(below(random, 8) * HOUR);
  }
  equal(live.size, 0);
});

test('a lock that is made while trusted time is behind lasts its days after the clock is confirmed', async () => {
  const it = await lockedSet(5);
  const { time, live } = it;
  const judge = ({ id, publishedMs, days }: Locked): void => {
    const stayedMs = time.trueMs() - publishedMs;
    ok(stayedMs >= days * DAY - 1000, `${id}: ${stayedMs / DAY} of ${days} days`);
  };
  await it.publish();
  time.off(200 * DAY);
  await it.publish();
  equal([...live.values()][1]!.behindMs, 0);
  await it.settle();
  for (let day = 0; day < 61; day++) {
    await it.removeAll(judge);
    time.run(DAY);
  }
  equal(live.size, 0);
  {
    await using file = await it.home.files.open('/box/trusted-time.json', 'write');
    await file.write(Buffer.from('X'), 60);
  }
  await it.publish();
  await it.confirm(1000);
  await it.publish();
  await it.confirm(1001);
  for (let day = 0; day < 61; day++) {
    await it.removeAll(judge);
    time.run(DAY);
  }
  equal(live.size, 0);
});
