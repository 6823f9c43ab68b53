import { deepEqual, equal, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { steadyTimes } from '../../src/lib/steady-times.ts';

test('times that do not fit the order are those of the event before', async () => {
  const cases: [number[], number[]][] = [
    [[], []],
    [[7], [7]],
    [
      [1, 2, 2, 3],
      [1, 2, 2, 3],
    ],
    [
      [2026, 2036, 2027, 2016, 2028],
      [2026, 2026, 2027, 2027, 2028],
    ],
    // If two contradict each other the earlier time is believed, so that nothing is forgotten too early.
    [
      [2036, 2026],
      [2026, 2026],
    ],
    [
      [2036, 2037, 2026, 2027, 2028],
      [2026, 2026, 2026, 2027, 2028],
    ],
  ];
  for (const [told, expected] of cases) deepEqual(steadyTimes(told), expected);
});

test('whatever the clock said: times never fall, and at least as many are believed as were right', async () => {
  const jumps = fc.array(fc.tuple(fc.nat(300), fc.integer({ min: -10_000, max: 10_000 })), {
    maxLength: 100,
  });
  fc.assert(
    fc.property(jumps, (wrong) => {
      const told = Array.from({ length: 301 }, (_, at) => 1000 + at);
      for (const [at, by] of wrong) told[at]! += by;
      const times = steadyTimes(told);
      equal(times.length, told.length);
      for (const [at, time] of times.entries()) {
        if (at > 0) ok(time >= times[at - 1]!);
        ok(told.includes(time));
      }
      const right = told.length - new Set(wrong.map(([at]) => at)).size;
      ok(times.filter((time, at) => time === told[at]).length >= right);
    }),
  );
});
