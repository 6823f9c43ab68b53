import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { ticker } from '../../../src/sys/base/ticker.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { until } from '../../support/until.ts';

test('it looks when the time that it asked for is over, not before', async () => {
  const clock = fakeClock('2026-11-29T12:00:00Z');
  const looks: number[] = [];
  await using it = ticker(clock, () => {
    looks.push(clock.monotonicMs());
    return 1000 * looks.length;
  });
  it.start();
  it.start();
  await until('the first look', () => looks.length === 1);
  await clock.advance(999);
  equal(looks.length, 1);
  await clock.advance(1);
  await until('the second look', () => looks.length === 2);
  await clock.advance(2000);
  await until('the third look', () => looks.length === 3);
  deepEqual(
    looks.map((at) => at - looks[0]!),
    [0, 1000, 3000],
  );
});

test('a wake-up while it looks is not slept through', async () => {
  const clock = fakeClock('2026-11-29T12:00:00Z');
  let looks = 0;
  const gate = Promise.withResolvers<void>();
  await using it = ticker(clock, async () => {
    if (++looks === 1) await gate.promise;
    return 1e9;
  });
  it.start();
  await until('the first look', () => looks === 1);
  it.wake();
  gate.resolve();
  await until('the second look', () => looks === 2);
});

test('its end waits for the look under way, and there is none afterwards', async () => {
  const clock = fakeClock('2026-11-29T12:00:00Z');
  let [looks, ended] = [0, 0];
  const gate = Promise.withResolvers<void>();
  const it = ticker(clock, async () => {
    looks++;
    await gate.promise;
    ended++;
    return 0;
  });
  it.start();
  await until('the first look', () => looks === 1);
  let isClosed = false;
  const closed = Promise.resolve(it[Symbol.asyncDispose]()).then(() => (isClosed = true));
  await clock.advance(1000);
  equal(isClosed, false);
  gate.resolve();
  await closed;
  it.wake();
  await clock.advance(1000);
  deepEqual([looks, ended], [1, 1]);
});
