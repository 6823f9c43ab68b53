import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { counts, endedAt, lives } from './lives.ts';
import type { Loss } from './oracle.ts';

// What a killed process and a power cut leave of a sealed overlay: the real one, on a disk that loses sectors. A fault
// names its SEED; `SEED=n npx tap run` begins there. All of it, with many seeds: model.long.ts.

const SEEDS = Number(process.env['SEEDS'] ?? 3);
const SEED = Number(process.env['SEED'] ?? 1);
/** Some dozen requests. */
const TURNS = 16;
const timeout = 300_000;

async function atEveryCall(loss: Loss, seed: number): Promise<string> {
  const count = counts();
  const use = { loss, count, turns: TURNS };
  for (let cutAt = 0; await endedAt(seed, cutAt, use); cutAt++);
  ok(count.inside > 50);
  return JSON.stringify(count);
}

test('a process that is killed at any call loses nothing that it answered', {
  timeout,
}, async (t) => {
  t.comment(await atEveryCall('nothing answered', SEED));
});

test('a power cut at any call leaves each page as of the last flush or newer', {
  timeout,
}, async (t) => {
  t.comment(await atEveryCall('unflushed', SEED + 1));
});

test('processes, power cuts and closes in any order, also within recovery', {
  timeout,
}, async (t) => {
  const count = counts();
  for (let seed = SEED; seed < SEED + 8 * SEEDS; seed++) await lives(seed, { lives: 10 }, count);
  t.comment(JSON.stringify(count));
  ok(count.inRecovery > 0 && count.segments > count.runs);
});

test('the same where calls and syncs fail', { timeout }, async (t) => {
  const count = counts();
  for (let seed = SEED; seed < SEED + 4 * SEEDS; seed++) {
    await lives(seed, { lives: 8, faults: { calls: 0.02, syncs: 0.05 } }, count);
    await lives(seed, { lives: 8, faults: { calls: 0, syncs: 0.3 } }, count);
  }
  t.comment(JSON.stringify(count));
  ok(count.faults > 0);
});
