import { deepEqual, equal, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { guestMemory } from '../../../src/sessions/serve/guest-memory.ts';
import { sessionSpace } from '../../../src/sessions/state/session-space.ts';
import { serveSession } from '../../../src/sessions/serve/serve-session.ts';
import { startSession } from '../../../src/sessions/state/held-session.ts';
import { listSessions } from '../../../src/sessions/state/listed-sessions.ts';
import { sessionReserve } from '../../../src/store/directory/space-reserve.ts';
import type { Space } from '../../../src/sys/files/file-system.ts';
import type { World } from '../../../src/sys/world.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const SIZE = 2 ** 20;

function worldWith(space: Space): World {
  const simulated = simulatedWorld();
  return { ...simulated, files: { ...simulated.files, space: async () => ({ ...space }) } };
}

test('sessions of one store take from one budget', async () => {
  const totalBytes = 2 ** 40;
  const reserve = sessionReserve({ totalBytes, freeBytes: 0 });
  const world = worldWith({ freeBytes: reserve + 1000, totalBytes });
  const { store } = await newStore(world);
  const [one, other] = [1, 2].map(() => sessionSpace(store, { whenFull: 'refuse' }));
  equal(await one!.left(), 1000);
  equal(await other!.left(), 1000);
  equal(one!.tryTake(700), true);
  equal(other!.tryTake(700), false);
  equal(other!.tryTake(300), true);
});

test('a session whose guest waits for space can be ended, and that write was never answered', async () => {
  const space = { freeBytes: 2 ** 40, totalBytes: 2 ** 40 };
  const world = worldWith(space);
  const { store, set } = await newStore(world);
  const point = await storePoint(store, set, noise(SIZE, 1));
  space.freeBytes = 0;
  const engine = { world, store };
  const socket = join(temporaryDirectory(), 'nbd.sock');
  const held = await startSession(engine.store, point, {
    ...{ listen: `unix:${socket}`, tls: false, nfs: undefined, whenFull: 'pause' },
  });
  await using reader = openBlockReader(store, {});
  const paused = Promise.withResolvers<void>();
  const serving = await serveSession(engine.store, held.record, {
    ...{ set, point, listen: { kind: 'unix', path: socket }, tls: undefined, nfs: undefined },
    ...{
      reader,
      shared: undefined,
      memory: guestMemory(),
      admits: () => true,
      admitsUser: () => true,
      begin: held.begin,
    },
    onEvent: ({ kind }) => void (kind === 'paused' && paused.resolve()),
  });
  const guest = await openNbdDisk(serving.exports[0]!.uri);
  const write = rejects(guest.write(new Uint8Array(4096), 0, 'cached'), /ended the connection/);
  await paused.promise;
  await serving[Symbol.asyncDispose]();
  await held[Symbol.asyncDispose]();
  await write;
  deepEqual(
    (await listSessions(engine.store)).sessions.map(({ holder }) => holder),
    [undefined],
  );
});
