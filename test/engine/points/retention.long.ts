import { equal, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openBox } from '../../../src/box/box.ts';
import { pointsDirectory } from '../../../src/catalog/point-places.ts';
import { retain } from '../../../src/engine/points/retention.ts';
import { encodePoint } from '../../../src/formats/store/catalog/point.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { newStore } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const COUNT = 10_000;
const HOUR_MS = 3_600_000;

test('retention of 10,000 recovery points takes less than 10 s', async (t) => {
  const home = temporaryDirectory();
  const world = realWorld();
  const { store, set } = await newStore(world, { home: join(home, 'store') });
  const box = openBox(world, { directory: join(home, 'box'), credentials: undefined });
  for (let n = 0; n < COUNT; n++) {
    const created = new Date(Date.UTC(2016, 0, 1, 2) + 6 * n * HOUR_MS).toISOString();
    const time = created.replace(/[-:]|\.\d+/g, '');
    const id = `vm1-${time}-${n.toString(16).padStart(6, '0')}`;
    const bytes = encodePoint(
      {
        ...{ id, set: 'set', machine: 'vm1', origin: 'backup', parent: undefined, created },
        ...{ sequence: n + 1, previous: undefined, stats: { readBytes: 0, storedBytes: 0 } },
        disks: [{ name: 'vda', size: 512, source: 'x', reference: undefined }],
      },
      set.keys.record,
    );
    writeFileSync(join(pointsDirectory(store, 'set'), `${id}.point`), bytes);
  }
  const rules = { last: 3, hourly: undefined, daily: 7, weekly: 4, monthly: 12, yearly: 3 };
  const retention = { ...rules, within: undefined, timeZone: 'Europe/Berlin' };
  for (const dryRun of [true, false]) {
    const start = performance.now();
    const done = await retain(
      { store, box, memory: box.of(store) },
      { set: 'set', machine: undefined, retention, dryRun },
    );
    const ms = Math.round(performance.now() - start);
    t.comment(`${dryRun ? 'shown' : 'done'}: ${ms} ms`);
    equal(done.forgotten.length + done.kept, COUNT);
    ok(done.kept < 30 && ms < 10_000, `${done.kept} stay, ${ms} ms`);
  }
});
