import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../src/block/memory.ts';
import { machineFiles } from '../../src/recovery/machine-files.ts';
import { sessionDamage } from '../../src/recovery/session-check.ts';
import { sessionDirectory } from '../../src/recovery/session-files.ts';
import { overlayOf, sessionSpace } from '../../src/recovery/session-steps.ts';
import { discardSession, startSession } from '../../src/recovery/sessions.ts';
import { openSessionTree } from '../../src/tree/session-tree.ts';
import { noise } from '../support/random.ts';
import { FILE } from '../support/session-tree.ts';
import { newStore, simulatedWorld, storePoint } from '../support/store.ts';

const SIZE = 2 ** 20;

/** A session whose guest wrote and flushed, and beside whose disk a hypervisor made files. */
async function place() {
  const world = simulatedWorld();
  const { store, set } = await newStore(world);
  const point = await storePoint(world, store, set, noise(SIZE, 1));
  const house = { world, store };
  const options = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;
  await using session = await startSession(house, point, options);
  const { record } = session;
  const directory = sessionDirectory(store, record.id);
  const space = sessionSpace(house, record);
  const base = memoryDevice(noise(SIZE, 1));
  await using overlay = await overlayOf(house, record, { disk: record.disks[0]!, base, space });
  await using tree = await openSessionTree({
    ...{ files: world.files, clock: world.clock, directory, space },
    ...{ first: machineFiles(record), disks: new Map([['vda', overlay]]) },
  });
  for (let n = 0; n < 5; n++) {
    await overlay.write(noise(4096, n), n * 8192, 'durable');
    await tree.make(tree.root, `f${n}`, FILE);
  }
  return { house, record, directory, files: world.files };
}

// A2, A14
test('damage of what a session wrote is found without a key, and named', async () => {
  const { house, record, directory, files } = await place();
  deepEqual(await sessionDamage(house, record), []);
  for (const name of ['vda.map', 'files.log']) {
    const path = `${directory}/${name}`;
    const bytes = await files.readFile(path, 2 ** 20);
    for (const at of [5, 30, Math.floor(bytes.length / 2)]) {
      await using file = await files.open(path, 'write');
      await file.write(Buffer.from([bytes[at]! ^ 1]), at);
      const [what, ...more] = await sessionDamage(house, record);
      equal(what?.startsWith(path), true, `${name} ${at}: ${what}`);
      deepEqual(more, []);
      await file.write(bytes, 0);
    }
  }
  deepEqual(await sessionDamage(house, record), []);
  for (const name of ['vda.map', 'vda.data']) {
    const path = `${directory}/${name}`;
    await files.rename(path, `${path}.away`);
    const lost = `${path} is missing: what was written to the disk is lost`;
    deepEqual(await sessionDamage(house, record), [lost]);
    await files.rename(`${path}.away`, path);
  }
});

test('a session that is discarded while it is checked is not damaged', async () => {
  const { house, record } = await place();
  await discardSession(house, record.id);
  deepEqual(await sessionDamage(house, record), []);
});
