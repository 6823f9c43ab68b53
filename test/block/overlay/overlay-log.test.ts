import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { createOverlayLog, openOverlayLog } from '../../../src/block/overlay/overlay-log.ts';
import type { PageRun } from '../../../src/formats/store/sessions/overlay-map.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';

const HEADER = { pageLength: 4096, size: 4096 * 1000 };

test('a map is what was appended to it; one that is damaged is an error of the disk', async () => {
  const { files } = crashingFs(seeded(1));
  const runs = [
    { first: 5, count: 2, state: 'data' },
    { first: 900, count: 100, state: 'zero' },
  ] as const;
  {
    await using log = await createOverlayLog(files, '/map', HEADER);
    await log.append(runs.slice(0, 1));
    await log.append(runs.slice(1));
  }
  {
    await using log = await openOverlayLog(files, '/map', HEADER);
    deepEqual([...log.map.written()], runs);
  }
  const corrupt = { name: 'BlockError', code: 'CORRUPT' };
  await rejects(openOverlayLog(files, '/map', { ...HEADER, size: 4096 }), corrupt);
  await using file = await files.open('/map', 'write');
  await file.write(Buffer.from([0xff]), 21);
  await rejects(openOverlayLog(files, '/map', HEADER), corrupt);
  await file.truncate(3);
  await rejects(openOverlayLog(files, '/map', HEADER), corrupt);
});

// A2
test('a flipped byte in the middle of a map is an error: no flushed page reads as the base again', async () => {
  const { files } = crashingFs(seeded(1));
  {
    await using log = await createOverlayLog(files, '/map', HEADER);
    for (let n = 0; n < 40; n++) await log.append([{ first: n, count: 1, state: 'data' }]);
  }
  const bytes = await files.readFile('/map', 2 ** 20);
  await using file = await files.open('/map', 'write');
  const at = 24 + 10 * 20;
  await file.write(Buffer.from([bytes[at + 9]! ^ 1]), at + 9);
  await rejects(openOverlayLog(files, '/map', HEADER), {
    name: 'BlockError',
    code: 'CORRUPT',
    message: new RegExp(`^/map is damaged at byte ${at} of ${bytes.length}: `),
  });
  equal((await files.stat('/map'))!.size, bytes.length);
});

test('a rewritten log names no page that was not flushed', async () => {
  const { files } = crashingFs(seeded(1));
  const header = { pageLength: 4096, size: 2 ** 30 };
  // Twice as much is worth a rewrite.
  const flushed: PageRun[] = Array.from({ length: 50_000 }, (_, n) => ({
    first: n * 2,
    count: 1,
    state: n % 2 === 0 ? 'data' : 'zero',
  }));
  {
    await using log = await createOverlayLog(files, '/map', header);
    // Written by a guest while the flush is under way.
    log.map.set(1, 1, 'data');
    log.map.set(4, 1, 'data');
    await log.append(flushed);
    await log.append(flushed);
  }
  ok((await files.stat('/map'))!.size < 700_000, 'it was rewritten');
  await using again = await openOverlayLog(files, '/map', header);
  equal(again.map.state(1), 'absent');
  equal(again.map.state(4), 'data');
  equal(again.map.state(2), 'zero');
  equal(again.map.dataPages(), 25_000);
});

// A10
test('a run of more pages than 32 bits count is the same after a restart, and takes little memory', async () => {
  const { files } = crashingFs(seeded(1));
  const pages = 4.5 * 2 ** 30;
  const header = { pageLength: 4096, size: 4096 * pages };
  const runs = [{ first: 0, count: pages, state: 'zero' }] as const;
  const before = process.memoryUsage();
  {
    await using log = await createOverlayLog(files, '/map', header);
    await log.append(runs);
  }
  await using log = await openOverlayLog(files, '/map', header);
  deepEqual([...log.map.written()], runs);
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  const taken = heapUsed - before.heapUsed + arrayBuffers - before.arrayBuffers;
  ok(taken < 64 * 2 ** 20, `${taken} bytes`);
});
