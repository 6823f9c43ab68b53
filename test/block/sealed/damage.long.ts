import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { CHANGES } from './changes.ts';
import { damage, type Finds } from './damage.ts';

// damage.test.ts with many seeds: SEED=n is the first one, FLIPS how many times something is damaged.

const SEED = Number(process.env['SEED'] ?? 10_000);
const FLIPS = Number(process.env['FLIPS'] ?? 6000);
const EACH = 30;

test(`${FLIPS} times something of a sealed overlay is damaged: it reads right or is reported`, {
  timeout: 24 * 3600_000,
}, async (t) => {
  const found: Finds = { harmless: 0, told: 0, refused: 0, unproven: 0 };
  for (let done = 0; done < FLIPS; done += EACH) {
    await damage(SEED + done / EACH, EACH, CHANGES, found);
  }
  t.comment(JSON.stringify(found));
  ok(found.unproven < FLIPS / 20, 'only what nothing on the disk proves');
});
