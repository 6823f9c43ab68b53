import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { FILE_KINDS } from './classes.ts';
import { flips } from './flips.ts';

const SEED = Number(process.env['SEED'] ?? 1000);
const COUNT = Number(process.env['FLIPS'] ?? 10_000);
const ROUND = 500;

test(`${COUNT} times something of a store is damaged, from SEED=${SEED} on`, {
  timeout: 24 * 3600_000,
}, async () => {
  for (let done = 0; done < COUNT; done += ROUND) {
    const seed = SEED + done / ROUND;
    const tries = await flips(Math.min(ROUND, COUNT - done), seed);
    if (COUNT >= ROUND)
      ok(
        FILE_KINDS.every((kind) => (tries.get(kind) ?? 0) > 0),
        `SEED=${seed}`,
      );
  }
});
