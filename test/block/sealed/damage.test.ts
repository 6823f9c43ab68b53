import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { CHANGES, otherSuite } from './changes.ts';
import { damage, type Finds } from './damage.ts';

// What the holder of the disk, or its rot, can do to a sealed overlay: right bytes, or an error that names page and disk.

const SEEDS = Number(process.env['SEEDS'] ?? 3);
const SEED = Number(process.env['SEED'] ?? 1);

function finds(): Finds {
  return { harmless: 0, told: 0, refused: 0, unproven: 0 };
}

test('what is flipped, cut, removed, swapped or put back reads right or is reported', async (t) => {
  const found = finds();
  for (let seed = SEED; seed < SEED + 6 * SEEDS; seed++) await damage(seed, 25, CHANGES, found);
  t.comment(JSON.stringify(found));
  ok(found.told > 0 && found.refused > 0 && found.harmless > 0);
});

test('the backup set says whether an overlay is encrypted, not its files', async () => {
  const found = finds();
  for (let seed = SEED; seed < SEED + 4; seed++) await damage(seed, 2, [otherSuite], found);
  ok(found.told === 8, JSON.stringify(found));
});
