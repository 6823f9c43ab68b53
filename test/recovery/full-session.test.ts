import { deepEqual, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../src/block/nbd-disk.ts';
import { openBlockReader } from '../../src/store/block-reader.ts';
import { guestMemory } from '../../src/recovery/guest-memory.ts';
import { serveSession } from '../../src/recovery/serve-session.ts';
import { listSessions, startSession } from '../../src/recovery/sessions.ts';
import { noise } from '../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../support/store.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const SIZE = 2 ** 20;

test('a session whose guest waits for space can be ended, and that write was never answered', async () => {
  const simulated = simulatedWorld();
  const { store, set } = await newStore(simulated);
  const point = await storePoint(simulated, store, set, noise(SIZE, 1));
  const files = { ...simulated.files, space: async () => ({ freeBytes: 0, totalBytes: 2 ** 40 }) };
  const house = { world: { ...simulated, files }, store };
  const socket = join(temporaryDirectory(), 'nbd.sock');
  const held = await startSession(house, point, {
    ...{ listen: `unix:${socket}`, tls: false, nfs: undefined, whenFull: 'pause' },
  });
  await using reader = openBlockReader(store, {});
  const paused = Promise.withResolvers<void>();
  const serving = await serveSession(house, held.record, {
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
  const write = rejects(guest.write(new Uint8Array(4096), 0, 'cached'), /went away/);
  await paused.promise;
  await serving[Symbol.asyncDispose]();
  await held[Symbol.asyncDispose]();
  await write;
  deepEqual(
    (await listSessions(house)).sessions.map(({ holder }) => holder),
    [undefined],
  );
});
