import { equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { confirmClock, lockBegin, trustedTime } from '../../src/alarms/trusted-time.ts';
import { crashingFs } from '../support/crashing-fs.ts';
import { broken, faultyFs } from '../support/faulty-fs.ts';
import { hostTime } from '../support/host-time.ts';
import { seeded } from '../support/random.ts';
import { simulatedWorld } from '../support/store.ts';

const HOUR = 60 * 60_000;
const DAY = 24 * HOUR;
const START = '2026-11-30T12:00:00.000Z';

async function host(isFull = () => false) {
  const time = hostTime(START);
  const home = crashingFs(seeded(1));
  const full = faultyFs(home.files, (operation, path) =>
    operation === 'create' && isFull() ? broken(path) : undefined,
  );
  await home.files.makeDirectory('/box');
  await home.files.syncDirectory('/');
  const world = { ...simulatedWorld(time.files(full)), clock: time.clock };
  return {
    ...{ time, world },
    /** How far trusted time is since the beginning. */
    passed: async () => (await trustedTime(world, '/box')).trustedMs! - Date.parse(START),
    look: () => trustedTime(world, '/box'),
    confirm: (uid: number) => confirmClock(world, '/box', uid),
  };
}

test('trusted time passes as the host runs, and never jumps with its clock', async () => {
  const { time, passed } = await host();
  equal(await passed(), 0);
  time.run(3 * DAY);
  equal(await passed(), 3 * DAY);
  time.step(365 * DAY);
  equal(await passed(), 3 * DAY);
  time.run(HOUR);
  equal(await passed(), 3 * DAY + HOUR);
  time.step(-500 * DAY);
  const before = await passed();
  time.run(DAY);
  const passedMs = (await passed()) - before;
  ok(passedMs > 0.999 * DAY && passedMs <= DAY, `${passedMs} with a clock that was set back`);
});

test('a fast oscillator does not open a lock early where the wall clock is right', async () => {
  const { time, passed } = await host();
  await passed();
  for (let day = 0; day < 400; day++) {
    time.run(DAY, 400 / 1_000_000);
    ok((await passed()) <= time.trueMs(), `day ${day}`);
  }
  ok((await passed()) > time.trueMs() - 1000);
});

test('a host that is off for days each week is not behind; one that was off longer is', async () => {
  const { time, passed, look } = await host();
  await passed();
  for (let week = 0; week < 4; week++) {
    time.run(5.5 * DAY);
    await passed();
    time.off(1.5 * DAY);
  }
  equal(await passed(), time.trueMs());
  equal((await look()).uncountedMs, 0);
  time.run(2 * DAY);
  await passed();
  time.off(10 * DAY);
  // 1.5 of 7 days are left: 6 were used within 30 days, of which one is more than 30 days ago by now.
  const late = time.trueMs() - (await passed());
  ok(late >= 9 * DAY - 1 && late <= 9 * DAY + 1, `${late / DAY} days behind`);
  equal(Math.round((await look()).uncountedMs / DAY), 9);
  time.run(40 * DAY);
  equal(time.trueMs() - (await passed()), late, 'running it makes up for nothing');
});

test('restarts in a row give a forged clock no more than 7 days in 30', async () => {
  const { time, passed } = await host();
  await passed();
  for (let restart = 0; restart < 100; restart++) {
    time.run(HOUR);
    await passed();
    time.off(0, 7 * DAY);
  }
  const early = (await passed()) - time.trueMs();
  ok(early <= 7 * DAY, `${early / DAY} days early`);
});

test('two users confirm the clock, within an hour and one boot; then it counts', async () => {
  const { time, passed, confirm, look } = await host();
  await passed();
  time.off(100 * DAY);
  equal(await passed(), 7 * DAY);
  equal((await confirm(1000)).confirmedBy, 1000);
  equal((await confirm(1000)).confirmedBy, 1000, 'one person does not count twice');
  equal(await passed(), 7 * DAY);
  time.run(2 * HOUR);
  await confirm(1001);
  equal(await passed(), 7 * DAY + 2 * HOUR, 'the first was too long ago');
  await confirm(1000);
  equal(await passed(), time.trueMs());
  equal((await look()).uncountedMs, 0);
  time.off(100 * DAY);
  await confirm(1000);
  time.off(0);
  await confirm(1001);
  ok((await passed()) < time.trueMs() - 90 * DAY, 'the host was restarted in between');
});

test('a damaged record ends no lock until two users have confirmed the clock', async () => {
  const { time, world, passed, confirm, look } = await host();
  await passed();
  {
    await using file = await world.files.open('/box/trusted-time.json', 'write');
    await file.write(Buffer.from('X'), 60);
  }
  equal((await look()).trustedMs, undefined);
  time.run(HOUR);
  await confirm(0);
  equal((await look()).trustedMs, undefined);
  // Nor does a restart forget that.
  time.off(HOUR);
  equal((await look()).trustedMs, undefined);
  equal((await confirm(0)).confirmedBy, 0);
  await confirm(1000);
  equal(await passed(), time.trueMs());
});

test('a clock that is set after the first confirmation is not confirmed by a second one', async () => {
  const { time, passed, confirm } = await host();
  await passed();
  await confirm(1000);
  time.run(HOUR / 2, 500 / 1_000_000);
  time.step(365 * DAY);
  const second = await confirm(1001);
  equal(second.replaced, 1000);
  equal(second.confirmedBy, 1001);
  ok((await passed()) < time.trueMs() + 1000);
  time.step(-365 * DAY);
  equal((await confirm(1000)).replaced, 1001);
  time.run(HOUR / 2, 500 / 1_000_000);
  const third = await confirm(1001);
  equal(third.replaced, undefined);
  equal(third.confirmedBy, undefined);
  equal(await passed(), time.trueMs());
});

test('a full disk does not make trusted time unknown, except where it has not begun', async () => {
  let isFull = true;
  const { time, passed, look } = await host(() => isFull);
  await rejects(look(), { name: 'SystemError' });
  isFull = false;
  await passed();
  isFull = true;
  time.run(DAY);
  equal(await passed(), DAY);
  time.off(HOUR);
  equal(await passed(), DAY + HOUR);
});

test('a confirmation waits while another process notes trusted time', async () => {
  const { world, passed, confirm } = await host();
  await passed();
  let isConfirmed = false;
  const turn = await world.files.lock('/box/lock', 'another process');
  const confirmed = confirm(1000).then(() => (isConfirmed = true));
  await new Promise((resolve) => setTimeout(resolve, 50));
  equal(isConfirmed, false);
  await turn[Symbol.asyncDispose]();
  await confirmed;
});

test('a hardware clock that is decades ahead at a restart locks nothing for decades', async () => {
  const { time, world, look, confirm } = await host();
  const begin = async () =>
    lockBegin(await look(), world.clock.now().getTime()) - Date.parse(START) - time.trueMs();
  await look();
  time.off(HOUR, 50 * 365 * DAY);
  const { uncountedMs } = await look();
  ok(uncountedMs > 49 * 365 * DAY);
  const withinMs = (366 + 8) * DAY;
  ok((await begin()) <= withinMs, `${(await begin()) / DAY} days`);
  await confirm(1000);
  ok((await begin()) <= withinMs, 'also where a person has confirmed it');
});

test('a host that was off for months has new locks that no confirmation ends early', async () => {
  const { time, world, look } = await host();
  await look();
  time.off(200 * DAY);
  const begin = lockBegin(await look(), world.clock.now().getTime());
  ok(begin >= Date.parse(START) + time.trueMs(), `${begin}`);
});
