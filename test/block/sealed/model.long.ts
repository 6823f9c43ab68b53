import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { type Counts, counts, endedAt, type Faults, lives } from './lives.ts';

// model.test.ts with many seeds: SEED=n is the first one, RUNS how many of each kind.

const SEED = Number(process.env['SEED'] ?? 10_000);
const RUNS = Number(process.env['RUNS'] ?? 300);
const EACH_CALL = Math.ceil(RUNS / 60);
const timeout = 24 * 3600_000;

function report(t: { comment(text: string): void }, count: Counts): void {
  t.comment(JSON.stringify(count));
}

for (const loss of ['nothing answered', 'unflushed'] as const) {
  test(`a process that ends at any call, and is to lose what is ${loss} at most`, {
    timeout,
  }, async (t) => {
    const count = counts();
    for (let seed = SEED; seed < SEED + EACH_CALL; seed++) {
      const use = { loss, count, turns: 25 };
      for (let cutAt = 0; await endedAt(seed, cutAt, use); cutAt++);
    }
    report(t, count);
    ok(count.inside > 100);
  });
}

const kinds: Readonly<Record<string, Faults>> = {
  'nothing fails': { calls: 0, syncs: 0 },
  'calls fail now and then': { calls: 0.02, syncs: 0.05 },
  'syncs fail often': { calls: 0, syncs: 0.3 },
  'calls fail often': { calls: 0.1, syncs: 0.1 },
};
for (const [name, faults] of Object.entries(kinds)) {
  test(`processes and power cuts in any order, where ${name}`, { timeout }, async (t) => {
    const count = counts();
    for (let seed = SEED; seed < SEED + RUNS; seed++) {
      await lives(seed, { lives: 10, faults }, count);
    }
    report(t, count);
    ok(count.runs === RUNS);
  });
}
