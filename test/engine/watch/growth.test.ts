import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { forecastOf, readGrowth, recordGrowth } from '../../../src/engine/watch/growth.ts';
import {
  decodeGrowth,
  encodeGrowth,
  GROWTH_SAMPLES_MAX,
  type GrowthSample,
} from '../../../src/formats/store/service/growth.ts';
import { GiB } from '../../../src/lib/sizes.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = new Date('2026-11-21T18:00:00Z');
const TOTAL = 1000 * GiB;

/** One each hour, the newest now. */
function watched(hours: number, usedAt: (hour: number) => number): GrowthSample[] {
  return Array.from({ length: hours + 1 }, (_, hour) => ({
    time: new Date(NOW.getTime() - (hours - hour) * HOUR).toISOString(),
    usedBytes: Math.round(usedAt(hour)),
    totalBytes: TOTAL,
  }));
}
const space = (freeBytes: number) => ({ freeBytes, totalBytes: TOTAL });

test('a store that grows by 24 GiB a day with 240 GiB free is full in ten days', async () => {
  const samples = watched(72, (hour) => 100 * GiB + hour * GiB);
  const { bytesPerDay, fullAt, since } = forecastOf(samples, space(240 * GiB), NOW);
  ok(Math.abs(bytesPerDay! - 24 * GiB) < 1e-4 * GiB, String(bytesPerDay));
  ok(Math.abs(Date.parse(fullAt!) - (NOW.getTime() + 10 * DAY)) < 60_000, fullAt);
  equal(since, samples[0]!.time);
});

test('too little history, another disk, and what cannot be are no forecast', async () => {
  const none = { since: undefined, bytesPerDay: undefined, fullAt: undefined };
  deepEqual(forecastOf([], space(GiB), NOW), none);
  const short = watched(23, (hour) => hour * GiB);
  deepEqual(forecastOf(short, space(GiB), NOW), { ...none, since: short[0]!.time });
  const larger = { freeBytes: GiB, totalBytes: 2 * TOTAL };
  deepEqual(
    forecastOf(
      watched(72, (hour) => hour),
      larger,
      NOW,
    ),
    none,
  );
  const future = watched(72, (hour) => hour).map((it) => ({ ...it, time: '2030-01-01T00:00:00Z' }));
  deepEqual(forecastOf(future, space(GiB), NOW), none);
});

test('a forecast looks back a week, and no further', async () => {
  // It filled fast, two weeks ago; since then it stands still.
  const samples = watched(14 * 24, (hour) => Math.min(hour, 6 * 24) * GiB);
  const { bytesPerDay, fullAt } = forecastOf(samples, space(GiB), NOW);
  equal(bytesPerDay, 0);
  equal(fullAt, undefined);
});

test('a store that empties, or hardly grows, is never full', async () => {
  const empties = forecastOf(
    watched(48, (hour) => TOTAL - hour * GiB),
    space(GiB),
    NOW,
  );
  ok(empties.bytesPerDay! < 0);
  equal(empties.fullAt, undefined);
  const hardly = forecastOf(
    watched(48, (hour) => hour),
    space(TOTAL / 2),
    NOW,
  );
  ok(hardly.bytesPerDay! > 0);
  equal(hardly.fullAt, undefined);
});

test('what is noted survives a restart, is one an hour, and stays small', async () => {
  const directory = temporaryDirectory();
  const clock = fakeClock(NOW.toISOString());
  const world = { ...realWorld(), clock };
  const troubles: string[] = [];
  const until = async (count: number): Promise<void> => {
    while ((await readGrowth(world, directory)).length < count) {
      await clock.advance(HOUR);
    }
  };
  {
    await using _notes = recordGrowth(world, directory, (message) => troubles.push(message));
    await until(3);
  }
  const before = await readGrowth(world, directory);
  ok(before.every(({ usedBytes, totalBytes }) => usedBytes > 0 && usedBytes <= totalBytes));
  {
    await using _again = recordGrowth(world, directory, (message) => troubles.push(message));
    await clock.advance(0);
    deepEqual((await readGrowth(world, directory)).slice(0, before.length), before);
    await until(before.length + 1);
  }
  const path = join(directory, 'growth.json');
  const full = watched(GROWTH_SAMPLES_MAX - 1, () => GiB);
  writeFileSync(path, encodeGrowth(full));
  {
    await using _full = recordGrowth(world, directory, (message) => troubles.push(message));
    while ((await readGrowth(world, directory))[0]!.time === full[0]!.time)
      await clock.advance(HOUR);
  }
  equal((await readGrowth(world, directory)).length, GROWTH_SAMPLES_MAX);
  ok(readFileSync(path).length < 64 * 1024);
  deepEqual(troubles, []);
});

test('a damaged history starts again', async () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'growth.json'), '{"format":"holdfast-growth","version":1,"samp');
  const clock = fakeClock(NOW.toISOString());
  const world = { ...realWorld(), clock };
  deepEqual(await readGrowth(world, directory), []);
  await using _notes = recordGrowth(world, directory, () => {});
  while ((await readGrowth(world, directory)).length === 0) await clock.advance(0);
  equal((await readGrowth(world, directory))[0]!.time, NOW.toISOString());
});

test('the history of version 1 is read', async () => {
  const text =
    '{"format":"holdfast-growth","version":1,"samples":[' +
    '{"time":"2026-11-21T18:00:00.000Z","usedBytes":5,"totalBytes":9}]}\n';
  const sample = { time: '2026-11-21T18:00:00.000Z', usedBytes: 5, totalBytes: 9 };
  deepEqual(decodeGrowth(Buffer.from(text)), [sample]);
  deepEqual(decodeGrowth(encodeGrowth([sample])), [sample]);
});
