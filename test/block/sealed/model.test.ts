import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { type Counts, counts, endedAt, lives } from './lives.ts';

// What a killed process and a power cut leave of a sealed overlay: the real one, on a disk that loses sectors.

const SEEDS = Number(process.env['SEEDS'] ?? 3);
const SEED = Number(process.env['SEED'] ?? 1);

function report(t: { comment(text: string): void }, count: Counts): void {
  t.comment(JSON.stringify(count));
}

test('a process that is killed at any call loses nothing that it answered', async (t) => {
  const count = counts();
  for (let cutAt = 0; await endedAt(SEED, cutAt, { loss: 'nothing answered', count }); cutAt++);
  report(t, count);
});

test('a power cut at any call leaves each page as of the last flush or newer', async (t) => {
  const count = counts();
  for (let cutAt = 0; await endedAt(SEED, cutAt, { loss: 'unflushed', count }); cutAt++);
  report(t, count);
});

test('processes, power cuts and closes in any order, also within recovery', async (t) => {
  const count = counts();
  for (let seed = SEED; seed < SEED + 20 * SEEDS; seed++) await lives(seed, { lives: 10 }, count);
  report(t, count);
  ok(count.inRecovery > 0 && count.segments > count.runs);
});

test('the same where calls fail', async (t) => {
  const count = counts();
  for (let seed = SEED; seed < SEED + 20 * SEEDS; seed++) {
    await lives(seed, { lives: 10, faults: { calls: 0.02, syncs: 0.02 } }, count);
  }
  report(t, count);
  ok(count.faults > 0);
});
