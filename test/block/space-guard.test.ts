import { equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { sharedSpace, spaceGuard } from '../../src/block/space-guard.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { simulatedWorld } from '../support/store.ts';

function guardOf(whenFull: 'pause' | 'refuse', freeBytes: () => number | Promise<number>) {
  const { files } = simulatedWorld();
  const clock = fakeClock('2026-11-21T12:00:00Z');
  const pauses: number[] = [];
  const space = sharedSpace({
    files: { ...files, space: async () => ({ freeBytes: await freeBytes(), totalBytes: 10_000 }) },
    directory: '/store',
  });
  const options = { space, clock, reserve: () => 500 };
  const guard = spaceGuard({ ...options, whenFull, onPause: () => void pauses.push(1) });
  return { guard, clock, pauses, options };
}

test('what is left to others is never given away', async () => {
  const { guard } = guardOf('refuse', () => 1500);
  equal(await guard.left(), 1000);
  equal(guard.tryTake(600), true);
  equal(guard.tryTake(600), false, 'counted, before the file system was asked again');
  const { guard: fresh } = guardOf('refuse', () => 1500);
  await fresh.take(1000);
  await rejects(fresh.take(1001), { code: 'NO_SPACE', message: /only the reserve of 500 is left/ });
  const { guard: below } = guardOf('refuse', () => 499);
  equal(await below.left(), 0);
  await rejects(below.take(1), { code: 'NO_SPACE' });
});

test('a look at the disk that takes long, as on a busy host, does not make it full', async () => {
  const { guard, clock, pauses } = guardOf('refuse', async () => {
    await clock.advance(5000);
    return 1500;
  });
  await guard.take(600);
  await rejects(guard.take(1001), { code: 'NO_SPACE' });
  equal(pauses.length, 0);
});

test('a write that waits for space is reported once, and goes on when there is some', async () => {
  let free = 500;
  const { guard, clock, pauses } = guardOf('pause', () => free);
  let isTaken = false;
  const taken = guard.take(100).then(() => (isTaken = true));
  for (let n = 0; n < 5; n++) await clock.advance(1000);
  equal(isTaken, false);
  equal(pauses.length, 1);
  free = 600;
  for (let n = 0; n < 5; n++) await clock.advance(1000);
  await taken;
  equal(pauses.length, 1);
});

test('two sessions of one disk share what is left: what one has taken, the other does not get', async () => {
  const { guard, options } = guardOf('refuse', () => 1500);
  const other = spaceGuard({ ...options, whenFull: 'refuse' });
  const backup = spaceGuard({ ...options, reserve: () => 900, whenFull: 'refuse' });
  for (const one of [guard, other, backup]) await one.left();
  equal(guard.tryTake(600), true);
  equal(other.tryTake(600), false);
  equal(backup.tryTake(1), false, 'it leaves more to others');
  equal(other.tryTake(400), true);
  equal(guard.tryTake(1), false);
});

test('a guard that has not asked what it leaves to others takes nothing that another has seen', async () => {
  const { guard, options } = guardOf('refuse', () => 1500);
  const other = spaceGuard({ ...options, whenFull: 'refuse' });
  await guard.left();
  equal(other.tryTake(1200), false);
  await rejects(other.take(1200), { code: 'NO_SPACE' });
});

test('what is taken while the file system is asked is not free after it', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let until = Promise.resolve();
  const { guard, options } = guardOf('refuse', () => until.then(() => 1500));
  const other = spaceGuard({ ...options, whenFull: 'refuse' });
  await guard.left();
  until = promise;
  const left = other.left();
  equal(guard.tryTake(600), true);
  resolve();
  equal(await left, 400);
  equal(other.tryTake(500), false);
});
