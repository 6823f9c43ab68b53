import { deepEqual, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { createOverlayLog, openOverlayLog } from '../../src/block/overlay-log.ts';
import { crashingFs } from '../support/crashing-fs.ts';
import { seeded } from '../support/random.ts';

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
