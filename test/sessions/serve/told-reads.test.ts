import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { timedReads } from '../../../src/sessions/serve/told-reads.ts';
import { fakeClock } from '../../support/fake-clock.ts';

test('every read counts, whether memory answers it at once or not', async () => {
  const clock = fakeClock('2026-11-30T12:00:00Z');
  await using memory = memoryDevice(new Uint8Array(4096).fill(7));
  const slow = {
    ...memory,
    async read(into: Uint8Array, offset: number) {
      await clock.sleep(30);
      await memory.read(into, offset);
    },
    tryRead: (into: Uint8Array, offset: number) => offset === 0 && memory.tryRead(into, offset),
  };
  const seen: number[] = [];
  const timed = timedReads(slow, clock, (ms) => void seen.push(ms));
  const into = new Uint8Array(512);
  equal(timed.tryRead(into, 0), true);
  equal(timed.tryRead(into, 512), false);
  const reading = timed.read(into, 512);
  await clock.advance(30);
  await reading;
  deepEqual(seen, [0, 30]);
  equal(into[511], 7);
});
