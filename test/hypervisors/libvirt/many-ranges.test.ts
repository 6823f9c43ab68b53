import { deepEqual, ok } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { type QemuNbd, startQemuNbd } from '../../../src/block/nbd-client/qemu-nbd.ts';
import { CHANGED_GAP } from '../../../src/hypervisors/base/served-disk.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { program, without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

// A guest that has written everywhere: QEMU itself counts its changes, and they are asked for as drivers do.

const RUNS = 200_000;
const KIB = 1024;
const LENGTH = 64 * KIB;
/** Too far from each other to count as one. */
const STRIDE = 2 * KIB * KIB;
const AT_ONCE = 64;
const MEMORY_MAX = 256 * KIB * KIB;

function serve(
  path: string,
  more: readonly string[],
  bitmaps: readonly string[],
): Promise<QemuNbd> {
  return startQemuNbd(systemClock(), [...more, '--format', 'qcow2', '--', path], { bitmaps });
}

/** Zeros take no space in the image, and count as changes. */
async function writeRuns(path: string): Promise<void> {
  await using served = await serve(path, [], []);
  for (let run = 0; run < RUNS; run += AT_ONCE) {
    const some = Array.from({ length: AT_ONCE }, (_, it) => (run + it) * STRIDE);
    await Promise.all(some.map((offset) => served.disk.zero(offset, LENGTH, 'cached')));
  }
}

test('200,000 ranges that have changed are all found, in memory that has a bound', {
  skip: without('qemu-img', 'qemu-nbd'),
}, async (t) => {
  const path = join(temporaryDirectory(), 'disk.qcow2');
  await program('qemu-img', 'create', '-q', '-f', 'qcow2', path, String(RUNS * STRIDE));
  await program('qemu-img', 'bitmap', '--add', '-g', String(LENGTH), path, 'changes');
  await writeRuns(path);
  await using served = await serve(path, ['--read-only'], ['changes']);
  const before = process.memoryUsage().rss;
  const begun = performance.now();
  let count = 0;
  const odd: number[] = [];
  for await (const { offset, length } of served.disk.dirtyRanges('changes', { gap: CHANGED_GAP })) {
    if (offset !== count * STRIDE || length !== LENGTH) odd.push(offset);
    count++;
  }
  t.comment(`${count} ranges in ${(performance.now() - begun).toFixed(0)} ms`);
  deepEqual([count, odd.slice(0, 3)], [RUNS, []]);
  ok(process.memoryUsage().rss - before < MEMORY_MAX);
});
