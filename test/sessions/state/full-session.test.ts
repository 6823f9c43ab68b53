import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { leasePath, listLeases } from '../../../src/catalog/leases.ts';
import { pointPath } from '../../../src/catalog/points.ts';
import { forgetPoint } from '../../../src/catalog/removal/forget-point.ts';
import { neededSource } from '../../../src/catalog/removal/needed.ts';
import { sessionDirectory } from '../../../src/sessions/state/session-files.ts';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { guestMemory } from '../../../src/sessions/serve/guest-memory.ts';
import { sessionSpace } from '../../../src/sessions/state/session-space.ts';
import { serveSession } from '../../../src/sessions/serve/serve-session.ts';
import { resumeSession, startSession } from '../../../src/sessions/state/held-session.ts';
import { listSessions } from '../../../src/sessions/state/listed-sessions.ts';
import { sessionReserve } from '../../../src/store/directory/space-reserve.ts';
import type { Space } from '../../../src/sys/files/file-system.ts';
import type { World } from '../../../src/sys/world.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { noise, seeded } from '../../support/random.ts';
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

test('a session that cannot take its lease again on a full disk keeps its recovery point', async () => {
  const disk = crashingFs(seeded(0));
  const world = simulatedWorld(disk.files);
  const { store, set } = await newStore(world);
  const point = await storePoint(store, set, noise(4096, 1));
  const options = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;
  const started = await startSession(store, point, options);
  const { id } = started.record;
  await started[Symbol.asyncDispose]();
  await disk.files.unlink(leasePath(store, id));
  disk.limit(disk.used());
  await using held = await resumeSession(store, id, { tls: false });
  deepEqual((await listLeases(store)).leases, [], 'there is no room for the lease');
  const place = { set: 'set', id: point.id };
  await rejects(forgetPoint(store, place), { code: 'IN_USE', message: new RegExp(held.record.id) });
  deepEqual((await neededSource(store, new Map())()).obstacles, []);
  // Whatever else removes its record: nothing of it is swept.
  await disk.files.unlink(pointPath(store, place));
  const { obstacles } = await neededSource(store, new Map())();
  ok(obstacles.some(({ what }) => what.startsWith(`session ${id} needs it`)));
  // Without either, it is not known what the session needs.
  const journal = join(sessionDirectory(store, id), 'session.json');
  {
    await using file = await disk.files.open(journal, 'write');
    await file.write(Uint8Array.of(0xff), 20);
  }
  const unread = (await neededSource(store, new Map())()).obstacles;
  ok(unread.some(({ where }) => where === journal));
  await rejects(forgetPoint(store, place), /may protect any recovery point/);
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
