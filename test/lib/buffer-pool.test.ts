import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { bufferPool } from '../../src/lib/buffer-pool.ts';

test('memory of any length up to the longest is used again, longer memory is not kept', async () => {
  const longest = 256 * 1024 + 96;
  const pool = bufferPool(1, longest);
  for (const length of [1, 4096, 5000, 256 * 1024, longest]) {
    const first = pool.take(length);
    equal(first.length, length);
    pool.give(first);
    ok(pool.take(length).buffer === first.buffer, `${length}`);
  }
  const long = pool.take(2 * longest);
  pool.give(long);
  ok(pool.take(2 * longest).buffer !== long.buffer);
});
