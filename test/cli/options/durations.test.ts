import { deepEqual, throws } from 'node:assert/strict';
import { test } from 'tap';
import { secondsOf } from '../../../src/cli/options/durations.ts';

test('a time is given in seconds, minutes, hours or days', async () => {
  deepEqual(['90s', '5m', '2h', '2d'].map(secondsOf), [90, 300, 7200, 172_800]);
  for (const wrong of ['0s', '90', 's', '1.5m', '-5s', '90 s', '9999999s']) {
    throws(() => secondsOf(wrong), /is not a time such as 90s, 30m, 4h, 2d/);
  }
});
