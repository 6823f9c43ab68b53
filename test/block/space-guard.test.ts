import { equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { spaceGuard } from '../../src/block/space-guard.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { simulatedWorld } from '../support/store.ts';

function guardOf(whenFull: 'pause' | 'refuse', freeBytes: () => number) {
  const { files } = simulatedWorld();
  const clock = fakeClock('2026-11-21T12:00:00Z');
  const pauses: number[] = [];
  const guard = spaceGuard({
    files: { ...files, space: async () => ({ freeBytes: freeBytes(), totalBytes: 10_000 }) },
    ...{
      clock,
      directory: '/store',
      reserve: () => 500,
      whenFull,
      onPause: () => void pauses.push(1),
    },
  });
  return { guard, clock, pauses };
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
