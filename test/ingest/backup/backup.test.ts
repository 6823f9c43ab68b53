import { deepEqual, equal, rejects } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { listPoints, readPoint } from '../../../src/catalog/points.ts';
import { createSet, unlockSet } from '../../../src/catalog/sets.ts';
import { backup, type BackupOptions } from '../../../src/ingest/backup/backup.ts';
import { keepSession } from '../../../src/sessions/finish/keep-session.ts';
import { startSession } from '../../../src/sessions/state/held-session.ts';
import { createStore, openStore } from '../../../src/store/directory/store.ts';
import { COMMANDS } from '../../../src/formats/wire/nbd.ts';
import { realWorld } from '../../../src/sys/world.ts';
import type { World } from '../../../src/sys/world.ts';
import { fakeNbdServer, usual } from '../../support/fake-nbd-server.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

test('recovery points are published while the store is locked', async () => {
  const directory = join(temporaryDirectory(), 'store');
  const image = join(directory, '..', 'a.raw');
  writeFileSync(image, noise(2 ** 20, 1));
  const real = realWorld();
  /** Who held the store when a recovery point got its name. */
  const holders: (string | undefined)[] = [];
  const world: World = {
    ...real,
    files: {
      ...real.files,
      async rename(from, to) {
        if (to.endsWith('.point') && !to.includes('/copies/')) {
          const holder = await real.files.lockHolder(join(directory, 'lock'));
          holders.push(holder?.replace(/ \(process .*/, ''));
        }
        await real.files.rename(from, to);
      },
    },
  };
  await createStore(world, directory);
  await using store = await openStore(world, directory);
  const { record } = await createSet(store, 'set', {});
  const set = await unlockSet(record, undefined);
  const { id } = await backup(store, {
    ...{ set, machine: 'vm', disks: [{ name: 'vda', where: image, format: 'raw' }] },
    ...{ isSecret: () => false, workers: 1, onEvent() {} },
  });
  const engine = { world, store };
  const options = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;
  const session = await startSession(engine.store, await readPoint(store, set, id), options);
  await session[Symbol.asyncDispose]();
  const kept = {
    set,
    workers: 1,
    known: undefined,
    onProgress() {},
    onDamage() {},
    signal: undefined,
  };
  const { point } = await keepSession(engine.store, session.record.id, kept);
  equal((await readPoint(store, set, point)).parent, id);
  deepEqual(holders, ['backup create set of vm', `session keep ${session.record.id}`]);
});

test('a moment that is not confirmed once all is stored is not published', async () => {
  const directory = join(temporaryDirectory(), 'store');
  const image = join(directory, '..', 'a.raw');
  writeFileSync(image, noise(2 ** 20, 1));
  const world = realWorld();
  await createStore(world, directory);
  await using store = await openStore(world, directory);
  const { record } = await createSet(store, 'set', {});
  const set = await unlockSet(record, undefined);
  let position = 0;
  const options: BackupOptions = {
    ...{ set, machine: 'vm', disks: [{ name: 'vda', where: image, format: 'raw' }] },
    ...{ isSecret: () => false, workers: 1 },
    onEvent: (event) => event.kind === 'progress' && ({ position } = event),
  };
  const gone = new Error('the machine is gone');
  const failing = backup(store, {
    ...options,
    async confirm() {
      equal(position, 2 ** 20);
      throw gone;
    },
  });
  await rejects(failing, gone);
  deepEqual((await listPoints(store, undefined)).points, []);
  const { id } = await backup(store, { ...options, confirm: async () => {} });
  equal((await listPoints(store, undefined)).points[0]!.id, id);
});

test('a canceled backup does not wait for an NBD server that is silent', async () => {
  const root = temporaryDirectory();
  const socket = join(root, 'silent.sock');
  const canceling = new AbortController();
  let reads = 0;
  await using _server = await fakeNbdServer(socket, {
    option: usual(2 ** 20, {}),
    request({ command }) {
      if (command === COMMANDS.read && ++reads === 1) canceling.abort(new Error('canceled'));
      return undefined;
    },
  });
  const world = realWorld();
  await createStore(world, join(root, 'store'));
  await using store = await openStore(world, join(root, 'store'));
  const { record } = await createSet(store, 'set', {});
  const set = await unlockSet(record, undefined);
  const where = `nbd+unix:///?socket=${socket}`;
  await rejects(
    backup(store, {
      ...{ set, machine: 'vm', disks: [{ name: 'vda', where, format: undefined }] },
      ...{ isSecret: () => false, workers: 1, onEvent() {}, signal: canceling.signal },
    }),
    { message: 'canceled' },
  );
});
