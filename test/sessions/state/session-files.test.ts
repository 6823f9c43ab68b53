import { deepEqual, equal, rejects, throws } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { decodeSession, encodeSession } from '../../../src/formats/store/sessions/session.ts';
import { machineFiles } from '../../../src/sessions/guest/machine-files.ts';
import { sessionDamage } from '../../../src/sessions/check/session-check.ts';
import { sessionDirectory, sessionIds } from '../../../src/sessions/state/session-files.ts';
import { sessionSpace } from '../../../src/sessions/state/session-space.ts';
import { overlayOf, treeSealOf } from '../../../src/sessions/state/session-overlays.ts';
import {
  discardSession,
  resumeSession,
  startSession,
} from '../../../src/sessions/state/held-session.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { openSessionTree } from '../../../src/vfs/session-tree.ts';
import { broken, faultyFs } from '../../support/faulty-fs.ts';
import { noise } from '../../support/random.ts';
import { FILE } from '../../support/session-tree.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';

const SIZE = 2 ** 20;

/** A session whose guest wrote and flushed, and beside whose disk a hypervisor made files. */
async function place() {
  const world = simulatedWorld();
  const { store, set } = await newStore(world);
  const point = await storePoint(store, set, noise(SIZE, 1));
  const engine = { world, store };
  const options = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;
  await using session = await startSession(engine.store, point, options);
  const { record } = session;
  const directory = sessionDirectory(store, record.id);
  const space = sessionSpace(engine.store, record);
  const base = memoryDevice(noise(SIZE, 1));
  const { begin } = session;
  const [disk] = record.disks;
  await using overlay = await overlayOf(engine.store, record, {
    disk: disk!,
    set,
    base,
    space,
    begin,
  });
  await using tree = await openSessionTree({
    ...{ files: world.files, clock: world.clock, directory, space },
    ...{ random: world.random, seal: treeSealOf(record, set.keys) },
    ...{ first: machineFiles(record), disks: new Map([['vda', overlay]]) },
  });
  for (let n = 0; n < 5; n++) {
    await overlay.write(noise(4096, n), n * 8192, 'durable');
    await tree.make(tree.root, `f${n}`, FILE);
  }
  return { engine, record, directory, files: world.files };
}

// A2, A14
test('damage of what a session wrote is found without a key, and named', async () => {
  const { engine, record, directory, files } = await place();
  deepEqual(await sessionDamage(engine.store, record), []);
  for (const name of ['vda.head', 'files.log']) {
    const path = `${directory}/${name}`;
    const bytes = await files.readFile(path, 2 ** 20);
    for (const at of [5, 30, Math.floor(bytes.length / 2)]) {
      await using file = await files.open(path, 'write');
      await file.write(Buffer.from([bytes[at]! ^ 1]), at);
      const [what, ...more] = await sessionDamage(engine.store, record);
      equal(what?.startsWith(path), true, `${name} ${at}: ${what}`);
      deepEqual(more, []);
      await file.write(bytes, 0);
    }
  }
  deepEqual(await sessionDamage(engine.store, record), []);
  for (const name of ['vda.head']) {
    const path = `${directory}/${name}`;
    await files.rename(path, `${path}.away`);
    const lost = `${path} is missing: what was written to the disk is lost`;
    deepEqual(await sessionDamage(engine.store, record), [lost]);
    await files.rename(`${path}.away`, path);
  }
});

test('what is left of a session whose removal failed has its head, or is never served again', async () => {
  for (let allowed = 0; ; allowed++) {
    const { engine, record, directory, files } = await place();
    const before = await files.list(directory);
    let left = allowed;
    const faulty = faultyFs(files, (operation, path) =>
      operation === 'unlink' && path.startsWith(directory) && left-- <= 0
        ? broken(path)
        : undefined,
    );
    const isGone = await discardSession({ ...engine.store, files: faulty }, record.id).then(
      () => true,
      () => false,
    );
    if (isGone) break;
    const after = await files.list(directory);
    equal(after.includes('session.json'), true);
    if (after.length < before.length) equal(after.includes('vda.head'), false, after.join(' '));
  }
});

test('a session whose journal is damaged says what to do, and can be discarded', async () => {
  const { engine, record, directory, files } = await place();
  const path = `${directory}/session.json`;
  const bytes = await files.readFile(path, 2 ** 20);
  await putDurably(files, path, bytes.with(50, bytes[50]! ^ 1));
  const advice = new RegExp(`damaged. Put the file back .*"session discard ${record.id}"`);
  await rejects(resumeSession(engine.store, record.id, { tls: false }), {
    code: 'CORRUPT',
    message: advice,
  });
  await discardSession(engine.store, record.id);
  deepEqual(await sessionIds(engine.store), []);
  deepEqual(await files.list(`${HOME}/leases`), []);
});

test('a session behind TLS is not resumed without', async () => {
  const { engine, record } = await place();
  {
    await using session = await resumeSession(engine.store, record.id, { tls: false });
    const place = { listen: 'tcp:127.0.0.1:10809', tls: true, nfs: undefined };
    await session.change((record) => ({ ...record, ...place }));
  }
  const impossible = { code: 'IMPOSSIBLE', message: /is open to TLS clients only/ };
  await rejects(resumeSession(engine.store, record.id, { tls: false }), impossible);
  await using again = await resumeSession(engine.store, record.id, { tls: true });
  equal(again.record.tls, true);
});

test('a session that is discarded while it is checked is not damaged', async () => {
  const { engine, record } = await place();
  await discardSession(engine.store, record.id);
  deepEqual(await sessionDamage(engine.store, record), []);
});

test('names of a session lead nowhere else, and no second session is on the files of the first', async () => {
  const { engine, record, directory, files } = await place();
  for (const wrong of [
    { set: '../x' },
    { point: 'a/b' },
    { machine: '' },
    { keepAs: '/etc/x' },
    { disks: [{ name: '..', size: SIZE }] },
  ]) {
    const bytes = encodeSession({ ...record, ...wrong });
    throws(() => decodeSession(bytes), /is not a name/);
  }
  const other = `${record.id}-2`;
  await files.makeDirectory(sessionDirectory(engine.store, other));
  const journal = await files.readFile(`${directory}/session.json`, SIZE);
  await putDurably(files, `${sessionDirectory(engine.store, other)}/session.json`, journal);
  await rejects(
    resumeSession(engine.store, other, { tls: false }),
    new RegExp(`record belongs to session "${record.id}"`),
  );
});
