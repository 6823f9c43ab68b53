import { deepEqual } from 'node:assert/strict';
import { test } from 'tap';
import { givingWay } from '../../../src/engine/worker/giving-way.ts';
import type { Clock } from '../../../src/sys/base/clock.ts';

test('background work goes on at once while guests are quiet, soon once they are, and in the end anyway', async () => {
  let bytes = 0;
  let slept = 0;
  /** How long guests go on. */
  let busyMs = 0;
  const clock: Pick<Clock, 'sleep'> = {
    async sleep(ms) {
      slept += ms;
      if (slept < busyMs) bytes += 4096;
    },
  };
  const giveWay = givingWay(clock, () => bytes);
  async function waited(): Promise<number> {
    slept = 0;
    await giveWay();
    return slept;
  }
  deepEqual([await waited(), await waited()], [0, 0]);
  bytes += 4096;
  busyMs = 200;
  deepEqual(await waited(), 200);
  bytes += 4096;
  busyMs = Number.POSITIVE_INFINITY;
  deepEqual(await waited(), 1000);
});
