import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { leasesOf } from '../../../src/catalog/leases.ts';
import { findPoint, listPoints, readPoint } from '../../../src/catalog/points.ts';
import type { OpenSet } from '../../../src/catalog/sets.ts';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import type { SessionError } from '../../../src/sessions/state/session-error.ts';
import {
  readJournal,
  sessionIds,
  sessionJournal,
  writeJournal,
} from '../../../src/sessions/state/session-files.ts';
import { sessionSpace } from '../../../src/sessions/state/session-space.ts';
import { overlayOf } from '../../../src/sessions/state/session-overlays.ts';
import { keepHeld } from '../../../src/sessions/finish/keep-session.ts';
import { machineWriting } from '../../../src/ingest/backup/store-machine.ts';
import {
  discardSession,
  resumeSession,
  startSession,
} from '../../../src/sessions/state/held-session.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { CUTTING_DEFAULT } from '../../../src/store/write/chunker.ts';
import { inlineEncoder } from '../../../src/store/write/encoder.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { faultyFs, full, type Operation } from '../../support/faulty-fs.ts';
import { noise, seeded } from '../../support/random.ts';
import {
  HOME,
  newStore,
  simulatedWorld,
  simulatedWriter,
  storePoint,
} from '../../support/store.ts';

const SIZE = 2 * 2 ** 20;
const SEEDS = Number(process.env['SEEDS'] ?? 3);
const BASE = noise(SIZE, 1);
const WRITTEN = noise(10_000, 2);
const AT = 2 ** 20 - 5000;
const AFTER = BASE.slice();
AFTER.set(WRITTEN, AT);

async function engineOn(files: FileSystem, seed: number) {
  const world = simulatedWorld(files, seed);
  return { world, store: await openStore(world, HOME) };
}

async function setUp() {
  const disk = crashingFs(seeded(0));
  const world = simulatedWorld(disk.files);
  const { store, set } = await newStore(world);
  const point = await storePoint(store, set, BASE);
  return { disk, set, point };
}

/** Starts a session, writes and flushes: answers how far it came. */
async function start(files: FileSystem, set: OpenSet, point: PointRecord): Promise<string> {
  const engine = await engineOn(files, 5);
  await using session = await startSession(engine.store, point, {
    listen: undefined,
    tls: false,
    nfs: undefined,
    whenFull: 'refuse',
  });
  await using reader = openBlockReader(engine.store, { cacheLength: 2 ** 22 });
  await using overlay = await openDisk(engine, session.record.id, { set, point, reader });
  await overlay.write(WRITTEN, AT, 'cached');
  await overlay.flush();
  return session.record.id;
}

async function openDisk(
  engine: Awaited<ReturnType<typeof engineOn>>,
  id: string,
  {
    set,
    point,
    reader,
  }: { set: OpenSet; point: PointRecord; reader: ReturnType<typeof openBlockReader> },
) {
  const record = (await readJournal(engine.store, id))!;
  const base = manifestDisk(reader, { name: 'vda', root: point.disks[0]!, keys: set.keys });
  const space = sessionSpace(engine.store, record);
  const { begin } = sessionJournal(engine.store, record);
  return overlayOf(engine.store, record, { disk: record.disks[0]!, set, base, space, begin });
}

/** As `session keep`, encoding in this thread. */
async function keep(files: FileSystem, set: OpenSet, id: string): Promise<string> {
  const engine = await engineOn(files, 6);
  const { world, store } = engine;
  const record = (await readJournal(store, id))!;
  await using writer = await simulatedWriter(store, set);
  const { random } = world;
  const { keys } = set;
  await using encoder = inlineEncoder({ keys, cutting: CUTTING_DEFAULT, random, writer });
  await using reader = openBlockReader(store, { cacheLength: 2 ** 22 });
  const writing = machineWriting(store, { set, writer, encoder });
  return await keepHeld(engine.store, record, { ...writing, reader });
}

async function contents(files: FileSystem, set: OpenSet, point: PointRecord): Promise<Uint8Array> {
  const { store } = await engineOn(files, 8);
  await using reader = openBlockReader(store, { cacheLength: 2 ** 22 });
  await using disk = manifestDisk(reader, { name: 'vda', root: point.disks[0]!, keys: set.keys });
  const got = new Uint8Array(SIZE);
  await disk.read(got, 0);
  return got;
}

test('a power cut while a session starts and writes: it resumes with all that was flushed', async () => {
  const { disk: initial, set, point } = await setUp();
  const whole = initial.copy(seeded(0));
  await start(whole.files, set, point);
  for (let cutAt = 1; cutAt <= whole.calls(); cutAt++) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      const acknowledged = await start(disk.files, set, point).catch(onlyPowerCuts);
      const { files } = disk.reboot();
      const engine = await engineOn(files, 9);
      const ids = await sessionIds(engine.store);
      const where = `cutAt=${cutAt} seed=${seed}`;
      if (acknowledged !== undefined) deepEqual(ids, [acknowledged], where);
      for (const id of ids) {
        await using held = await resumeSession(engine.store, id, { tls: false });
        equal(held.record.phase, 'ready');
        await using reader = openBlockReader(engine.store, { cacheLength: 2 ** 22 });
        await using overlay = await openDisk(engine, id, { set, point, reader });
        const got = new Uint8Array(SIZE);
        await overlay.read(got, 0);
        if (acknowledged !== undefined) equal(Buffer.compare(got, AFTER), 0, where);
        else equal(Buffer.compare(got.subarray(0, AT), BASE.subarray(0, AT)), 0, where);
      }
      // Whatever is left can be thrown away, and the recovery point is as it was.
      for (const id of ids) await discardSession(engine.store, id);
      deepEqual(await engine.world.files.list(`${HOME}/leases`), []);
      equal(Buffer.compare(await contents(files, set, point), BASE), 0);
    }
  }
});

test('a session that is being ended is not resumed, and says how to finish that', async () => {
  const { disk, set, point } = await setUp();
  const id = await start(disk.files, set, point);
  const engine = await engineOn(disk.files, 9);
  const record = (await readJournal(engine.store, id))!;
  for (const [phase, advice] of [
    ['keeping', /was being ended: finish that with "session keep /],
    ['cleaning', /was being ended: finish that with "session discard /],
  ] as const) {
    await writeJournal(engine.store, { ...record, phase, keepAs: undefined });
    const refused = { code: 'IMPOSSIBLE', message: advice };
    await rejects(resumeSession(engine.store, id, { tls: false }), refused, phase);
  }
});

test('a power cut while a session is kept: the session or the recovery point, never neither or two', async () => {
  const { disk: initial, set, point } = await setUp();
  const id = await start(initial.files, set, point);
  const whole = initial.copy(seeded(0));
  const kept = await keep(whole.files, set, id);
  const made = await listPoints((await engineOn(whole.files, 1)).store, 'set');
  equal(made.points.at(-1)?.id, kept);
  equal(made.points.at(-1)?.parent, point.id);
  for (let cutAt = 1; cutAt <= whole.calls(); cutAt++) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      const acknowledged = await keep(disk.files, set, id).catch(onlyPowerCuts);
      const { files } = disk.reboot();
      const engine = await engineOn(files, 9);
      const ids = await sessionIds(engine.store);
      const where = `cutAt=${cutAt} seed=${seed}`;
      if (ids.length > 0) await keep(files, set, id);
      const { points, damaged } = await listPoints(engine.store, 'set', set.keys);
      deepEqual(damaged, [], where);
      equal(points.length, 2, where);
      if (acknowledged !== undefined) equal(points[1]!.id, acknowledged);
      equal(Buffer.compare(await contents(files, set, points[1]!), AFTER), 0, where);
      deepEqual(await sessionIds(engine.store), []);
      deepEqual(await engine.world.files.list(`${HOME}/leases`), [], where);
    }
  }
});

async function pointFiles(files: FileSystem): Promise<ReadonlyMap<string, Uint8Array>> {
  const directory = `${HOME}/sets/set/points`;
  const found = new Map<string, Uint8Array>();
  for (const name of await files.list(directory)) {
    if (name.endsWith('.point'))
      found.set(name, await files.readFile(`${directory}/${name}`, 65_536));
  }
  return found;
}

test('killed while a session is kept, kept again, and then the power goes: the point is there', async () => {
  const { disk: initial, set, point } = await setUp();
  const id = await start(initial.files, set, point);
  const whole = initial.copy(seeded(0));
  await keep(whole.files, set, id);
  for (let killAt = 1; killAt <= whole.calls(); killAt++) {
    // Nothing survives the power cut that was not synced.
    const disk = initial.copy(() => 0, killAt);
    await keep(disk.files, set, id).catch(onlyPowerCuts);
    const next = disk.kill();
    const found = await sessionIds((await engineOn(next.files, 1)).store);
    const before = await pointFiles(next.files);
    const acknowledged = found.length > 0 && (await keep(next.files, set, id));
    const after = await pointFiles(next.files);
    for (const [name, bytes] of before) deepEqual(after.get(name), bytes, 'it never changes');
    const { files } = next.reboot();
    const where = `killAt=${killAt}`;
    const engine = await engineOn(files, 9);
    const left = await sessionIds(engine.store);
    if (left.length > 0) await keep(files, set, id);
    const { points, damaged } = await listPoints(engine.store, 'set', set.keys);
    deepEqual(damaged, [], where);
    equal(points.length, 2, where);
    if (acknowledged) equal(points[1]!.id, acknowledged, where);
    equal(Buffer.compare(await contents(files, set, points[1]!), AFTER), 0, where);
    deepEqual(await files.list(`${HOME}/leases`), [], where);
  }
});

test('killed while a session starts, resumed, and then the power goes: it is there with its writes', async () => {
  const { disk: initial, set, point } = await setUp();
  const whole = initial.copy(seeded(0));
  await start(whole.files, set, point);
  for (let killAt = 1; killAt <= whole.calls(); killAt++) {
    const disk = initial.copy(() => 0, killAt);
    await start(disk.files, set, point).catch(onlyPowerCuts);
    const next = disk.kill();
    const engine = await engineOn(next.files, 9);
    for (const id of await sessionIds(engine.store)) {
      await using _held = await resumeSession(engine.store, id, { tls: false });
      await using reader = openBlockReader(engine.store, { cacheLength: 2 ** 22 });
      await using overlay = await openDisk(engine, id, { set, point, reader });
      await overlay.write(WRITTEN, AT, 'cached');
      await overlay.flush();
      const after = next.reboot();
      const rebooted = await engineOn(after.files, 10);
      await using _again = await resumeSession(rebooted.store, id, { tls: false });
      equal((await leasesOf(rebooted.store)).length, 1, `killAt=${killAt}`);
      await using reread = openBlockReader(rebooted.store, { cacheLength: 2 ** 22 });
      await using survivor = await openDisk(rebooted, id, { set, point, reader: reread });
      const got = new Uint8Array(SIZE);
      await survivor.read(got, 0);
      equal(Buffer.compare(got, AFTER), 0, `killAt=${killAt}`);
    }
  }
});

test('a power cut while a session is discarded: it can be discarded again', async () => {
  const { disk: initial, set, point } = await setUp();
  const id = await start(initial.files, set, point);
  const discard = async (files: FileSystem) => discardSession((await engineOn(files, 6)).store, id);
  const whole = initial.copy(seeded(0));
  await discard(whole.files);
  for (let cutAt = 1; cutAt <= whole.calls(); cutAt++) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      await discard(disk.files).catch(onlyPowerCuts);
      const { files } = disk.reboot();
      const engine = await engineOn(files, 9);
      // As long as anything is left that takes space, it is a session that can be discarded.
      const found = (await sessionIds(engine.store)).length > 0;
      for (const left of found ? [] : await files.list(`${HOME}/sessions`)) {
        const names = await files.list(`${HOME}/sessions/${left}`);
        ok(
          !names.some((name) => name.endsWith('.seg')),
          `cutAt=${cutAt} seed=${seed}: ${names.join(' ')}`,
        );
      }
      if (found) await discard(files);
      deepEqual(await sessionIds(engine.store), []);
      deepEqual(await engine.world.files.list(`${HOME}/leases`), []);
      ok(await findPoint(engine.store, point.id));
    }
  }
});

test('a session whose discarding was interrupted is kept whole, or the answer is that it cannot be', async () => {
  const { disk: initial, set, point } = await setUp();
  const id = await start(initial.files, set, point);
  const discard = async (files: FileSystem) => discardSession((await engineOn(files, 6)).store, id);
  const whole = initial.copy(seeded(0));
  await discard(whole.files);
  let refused = 0;
  for (let cutAt = 1; cutAt <= whole.calls(); cutAt++) {
    const disk = initial.copy(seeded(cutAt), cutAt);
    await discard(disk.files).catch(onlyPowerCuts);
    const { files } = disk.reboot();
    const engine = await engineOn(files, 9);
    if ((await sessionIds(engine.store)).length === 0) continue;
    try {
      const kept = await keep(files, set, id);
      const place = await findPoint(engine.store, kept);
      const made = await readPoint(engine.store, set, place.id);
      equal(Buffer.compare(await contents(files, set, made), AFTER), 0, `cutAt=${cutAt}`);
    } catch (cause) {
      equal((cause as SessionError).code, 'IMPOSSIBLE', `cutAt=${cutAt}: ${String(cause)}`);
      refused++;
      await discard(files);
    }
    deepEqual(await sessionIds(engine.store), []);
  }
  ok(refused > 0);
});

test('a power cut while it is discarded on a full disk: all of it is left, or nothing of use', async () => {
  const { disk: initial, set, point } = await setUp();
  const id = await start(initial.files, set, point);
  const takesSpace = new Set<Operation>(['create', 'write']);
  const onFull = (files: FileSystem) =>
    faultyFs(files, (operation, path) => (takesSpace.has(operation) ? full(path) : undefined));
  const discard = async (files: FileSystem) => discardSession((await engineOn(files, 6)).store, id);
  const whole = initial.copy(seeded(0));
  await discard(onFull(whole.files));
  deepEqual(await whole.files.list(`${HOME}/sessions`), []);
  deepEqual(await whole.files.list(`${HOME}/leases`), []);
  let served = 0;
  let refused = 0;
  for (let cutAt = 1; cutAt <= whole.calls(); cutAt++) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      await discard(onFull(disk.files)).catch(onlyPowerCuts);
      const { files } = disk.reboot();
      const engine = await engineOn(files, 9);
      if ((await sessionIds(engine.store)).length === 0) continue;
      await using reader = openBlockReader(engine.store, { cacheLength: 2 ** 22 });
      try {
        await using overlay = await openDisk(engine, id, { set, point, reader });
        const got = new Uint8Array(SIZE);
        await overlay.read(got, 0);
        const where = `cutAt=${cutAt} seed=${seed}`;
        equal(Buffer.compare(got, AFTER), 0, where);
        equal((await leasesOf(engine.store)).length, 1, where);
        served++;
      } catch (cause) {
        equal((cause as SessionError).code, 'CORRUPT');
        refused++;
      }
      await discard(onFull(files));
      deepEqual(await sessionIds(engine.store), []);
      deepEqual(await files.list(`${HOME}/leases`), []);
    }
  }
  ok(served > 0 && refused > 0);
});
