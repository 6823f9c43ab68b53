import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { FILE_KINDS } from './classes.ts';
import { flips } from './flips.ts';

const SEED = Number(process.env['SEED'] ?? 1000);
const COUNT = Number(process.env['FLIPS'] ?? 10_000);
const ROUND = 500;

// Each round is a test, so that a run of hours shows how far it is, and what one round finds does not end the others.
for (let done = 0; done < COUNT; done += ROUND) {
  const seed = SEED + done / ROUND;
  const count = Math.min(ROUND, COUNT - done);
  const title = `something of a store is damaged ${count} times, after ${done} of ${COUNT} (SEED=${seed})`;
  test(title, { timeout: 24 * 3600_000 }, async () => {
    const tries = await flips(count, seed);
    if (count === ROUND) ok(FILE_KINDS.every((kind) => (tries.get(kind) ?? 0) > 0));
  });
}
