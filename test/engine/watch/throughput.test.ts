import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { ingestMeter, recordThroughput } from '../../../src/engine/watch/throughput.ts';
import { fakeClock } from '../../support/fake-clock.ts';

test('rates are of what was counted in each part of the last hour', async () => {
  const clock = fakeClock('2026-11-21T18:00:00Z');
  let readBytes = 1_000_000;
  await using recorder = recordThroughput(clock, () => ({
    ...{ readBytes, writtenBytes: 0, ingestBytes: 0 },
  }));
  await clock.advance(0);
  deepEqual(recorder.show(60).points, [], 'nothing is known of what was before');
  equal(recorder.show(60).now.readBytes, 0);
  for (let n = 0; n < 24; n++) {
    readBytes += n < 12 ? 5000 : 10_000;
    await clock.advance(5000);
  }
  const { seconds, now, points } = recorder.show(60);
  equal(seconds, 60);
  equal(now.readBytes, 2000);
  deepEqual(
    points.map((it) => it.readBytes),
    [1000, 2000],
  );
  readBytes += 50_000;
  await clock.advance(5000);
  deepEqual(
    recorder.show(60).points.map((it) => it.readBytes),
    [1000, 2000, 10_000],
    'a part stays as it is once its minute is over',
  );
  await clock.advance(3_600_000);
  const hour = recorder.show(60);
  equal(hour.points.length, 61, 'the first and the newest are not whole');
  equal(Math.max(...hour.points.map((it) => it.readBytes)), 0, 'what was longer ago is gone');
});

test('what backups read is counted once, whatever they report', async () => {
  const meter = ingestMeter();
  const heard: unknown[] = [];
  const progress = (position: number, readBytes?: number) =>
    ({
      event: 'progress',
      phase: 'x',
      position,
      total: 9,
      ...(readBytes !== undefined && { readBytes }),
    }) as const;
  const first = meter.heard((event) => heard.push(event));
  const second = meter.heard(() => {});
  first(progress(1, 100));
  second(progress(1, 70));
  first(progress(2, 250));
  first(progress(3));
  first({ event: 'notice', message: 'n' });
  first(progress(4, 250));
  equal(meter.totalBytes, 320);
  equal(heard.length, 5);
});
