import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { readPoint } from '../../../src/catalog/points.ts';
import type { OpenSet } from '../../../src/catalog/sets.ts';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import { keepHeld } from '../../../src/sessions/finish/keep-session.ts';
import { machineWriting } from '../../../src/ingest/backup/store-machine.ts';
import { plainSessions, sessionDamage } from '../../../src/sessions/check/session-check.ts';
import {
  readJournal,
  sessionDirectory,
  sessionJournal,
} from '../../../src/sessions/state/session-files.ts';
import { sessionSpace } from '../../../src/sessions/state/session-space.ts';
import { overlayOf, type SessionOverlay } from '../../../src/sessions/state/session-overlays.ts';
import {
  discardSession,
  resumeSession,
  startSession,
} from '../../../src/sessions/state/held-session.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { CUTTING_DEFAULT } from '../../../src/store/write/chunker.ts';
import { inlineEncoder } from '../../../src/store/write/encoder.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { type CrashingFs, crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { faultyFs, full } from '../../support/faulty-fs.ts';
import { noise, seeded } from '../../support/random.ts';
import {
  HOME,
  newStore,
  simulatedWorld,
  simulatedWriter,
  storePoint,
} from '../../support/store.ts';

// Sessions whose overlays are of version 1, in plain text, and what becomes of them.

const PAGE = 4096;
const SIZE = 48 * PAGE + 1000;
const SEEDS = Number(process.env['SEEDS'] ?? 3);
const BASE = noise(SIZE, 1);

interface Engine {
  readonly world: ReturnType<typeof simulatedWorld>;
  readonly store: Store;
}

async function engineOn(files: FileSystem, { sealed }: { sealed: boolean }): Promise<Engine> {
  const world = simulatedWorld(files, 5);
  const store = await openStore(world, HOME);
  return {
    world,
    store: { ...store, has: (it) => (it === 'sealed-overlay' ? sealed : store.has(it)) },
  };
}

interface Place {
  readonly disk: CrashingFs;
  readonly set: OpenSet;
  readonly point: PointRecord;
  readonly id: string;
  /** What its guest sees, all of it flushed. */
  readonly contents: Uint8Array;
}

/** A session of a store without the feature, whose guest wrote and flushed. */
async function place(): Promise<Place> {
  const disk = crashingFs(seeded(0));
  const world = simulatedWorld(disk.files);
  const { set, store } = await newStore(world, { passphrase: 'secret' });
  const point = await storePoint(store, set, BASE);
  const engine = await engineOn(disk.files, { sealed: false });
  const options = { listen: undefined, tls: false, nfs: undefined, whenFull: 'refuse' } as const;
  await using session = await startSession(engine.store, point, options);
  const { id } = session.record;
  const contents = BASE.slice();
  await using overlay = await opened(engine, { id, set, point });
  await write(overlay, contents, { value: 1, offset: 2 * PAGE, length: 3 * PAGE });
  await write(overlay, contents, { value: 2, offset: 9 * PAGE + 700, length: 200 });
  await overlay.zero(20 * PAGE, 5 * PAGE, 'cached');
  contents.fill(0, 20 * PAGE, 25 * PAGE);
  await overlay.flush();
  return { disk, set, point, id, contents };
}

async function write(
  overlay: SessionOverlay,
  contents: Uint8Array,
  { value, offset, length }: { value: number; offset: number; length: number },
): Promise<void> {
  await overlay.write(new Uint8Array(length).fill(value), offset, 'cached');
  contents.fill(value, offset, offset + length);
}

async function opened(
  engine: Engine,
  { id, set, point }: Pick<Place, 'id' | 'set' | 'point'>,
): Promise<SessionOverlay> {
  const record = (await readJournal(engine.store, id))!;
  const reader = openBlockReader(engine.store, { cacheLength: 2 ** 22 });
  const base = manifestDisk(reader, { name: 'vda', root: point.disks[0]!, keys: set.keys });
  const space = sessionSpace(engine.store, record);
  const { begin } = sessionJournal(engine.store, record);
  return overlayOf(engine.store, record, { disk: record.disks[0]!, set, base, space, begin });
}

async function read(overlay: SessionOverlay): Promise<Uint8Array> {
  const into = new Uint8Array(SIZE);
  await overlay.read(into, 0);
  return into;
}

async function namesOf({ world, store }: Engine, id: string): Promise<string[]> {
  const names = await world.files.list(sessionDirectory(store, id));
  return names.filter((name) => name.startsWith('vda.')).map((name) => name.slice(4));
}

async function keep(engine: Engine, { id, set }: Pick<Place, 'id' | 'set'>): Promise<PointRecord> {
  const { world, store } = engine;
  const record = (await readJournal(store, id))!;
  await using writer = await simulatedWriter(store, set);
  const { random } = world;
  const { keys } = set;
  await using encoder = inlineEncoder({ keys, cutting: CUTTING_DEFAULT, random, writer });
  await using reader = openBlockReader(store, { cacheLength: 2 ** 22 });
  const writing = machineWriting(store, { set, writer, encoder });
  const kept = await keepHeld(engine.store, record, { ...writing, reader });
  return readPoint(store, set, kept);
}

test('a store without the feature keeps overlays of version 1, which its release goes on with', async () => {
  const it = await place();
  const engine = await engineOn(it.disk.files, { sealed: false });
  deepEqual(await namesOf(engine, it.id), ['data', 'map']);
  await using session = await resumeSession(engine.store, it.id, { tls: false });
  equal(session.record.sealed, undefined);
  {
    await using overlay = await opened(engine, it);
    deepEqual(await read(overlay), it.contents);
  }
  deepEqual(await namesOf(engine, it.id), ['data', 'map']);
  deepEqual(await plainSessions(engine.store), [it.id]);
  deepEqual(await sessionDamage(engine.store, session.record), []);
});

test('once the store has the feature, what is written from the next start on is sealed', async () => {
  const it = await place();
  const contents = it.contents.slice();
  const engine = await engineOn(it.disk.files, { sealed: true });
  const plain = await it.disk.files.readFile(
    `${sessionDirectory(engine.store, it.id)}/vda.data`,
    SIZE,
  );
  {
    await using session = await resumeSession(engine.store, it.id, { tls: false });
    deepEqual(session.record.sealed, { begun: [], overPlain: true });
    await using overlay = await opened(engine, it);
    deepEqual(await read(overlay), contents);
    // Over what lies in plain text, wholly and in part, and beside it.
    await write(overlay, contents, { value: 5, offset: 3 * PAGE, length: PAGE });
    await write(overlay, contents, { value: 6, offset: 9 * PAGE + 800, length: 300 });
    await write(overlay, contents, { value: 7, offset: 40 * PAGE + 5, length: 2 * PAGE });
    await overlay.zero(2 * PAGE, PAGE, 'durable');
    contents.fill(0, 2 * PAGE, 3 * PAGE);
  }
  const record = (await readJournal(engine.store, it.id))!;
  deepEqual(record.sealed, { begun: ['vda'], overPlain: true });
  deepEqual(
    await it.disk.files.readFile(`${sessionDirectory(engine.store, it.id)}/vda.data`, SIZE),
    plain,
    'it was only read',
  );
  const isSealed = (bytes: Uint8Array): boolean =>
    !Buffer.from(bytes).includes(Buffer.alloc(64, 5));
  for (const name of await engine.world.files.list(sessionDirectory(engine.store, it.id))) {
    if (!name.endsWith('.seg')) continue;
    const path = `${sessionDirectory(engine.store, it.id)}/${name}`;
    ok(isSealed(await engine.world.files.readFile(path, 2 ** 26)), name);
  }
  await using overlay = await opened(engine, it);
  deepEqual(await read(overlay), contents);
  deepEqual(await plainSessions(engine.store), [it.id]);
  deepEqual(await sessionDamage(engine.store, record, it.set.keys), []);
  const pages = new Set<number>();
  for await (const { offset, length } of overlay.written()) {
    for (let at = offset; at < offset + length; at += PAGE) pages.add(at / PAGE);
  }
  deepEqual(
    [...pages].sort((a, b) => a - b),
    [2, 3, 4, 9, 20, 21, 22, 23, 24, 40, 41, 42],
  );
});

test('a kept recovery point is the same, byte for byte, with its overlays sealed or not', async () => {
  const it = await place();
  const direct = it.disk.copy(seeded(1));
  const one = await keep(await engineOn(direct.files, { sealed: false }), it);
  const engine = await engineOn(it.disk.files, { sealed: true });
  {
    await using session = await resumeSession(engine.store, it.id, { tls: false });
    await using overlay = await opened(engine, { ...it, id: session.record.id });
    await overlay.flush();
  }
  const other = await keep(engine, it);
  deepEqual(other.disks[0]!.reference, one.disks[0]!.reference);
  deepEqual(await engine.world.files.list(`${HOME}/sessions`), []);
});

test('a power cut at any call while a session is carried over: all that was flushed is there', async () => {
  const it = await place();
  const AT = 3 * PAGE + 100;
  const after = it.contents.slice().fill(9, AT, AT + 6000);
  async function carryOver(files: FileSystem): Promise<boolean> {
    const engine = await engineOn(files, { sealed: true });
    await using _session = await resumeSession(engine.store, it.id, { tls: false });
    await using overlay = await opened(engine, it);
    await write(overlay, new Uint8Array(SIZE), { value: 9, offset: AT, length: 6000 });
    await overlay.flush();
    return true;
  }
  const whole = it.disk.copy(seeded(0));
  await carryOver(whole.files);
  for (let cutAt = 1; cutAt <= whole.calls(); cutAt++) {
    for (let seed = 0; seed < SEEDS; seed++) {
      const where = `cutAt=${cutAt} seed=${seed}`;
      const disk = it.disk.copy(seeded(seed * 1000 + cutAt), cutAt);
      const isAnswered = await carryOver(disk.files).catch(onlyPowerCuts);
      // Killed at the first seed: then the next process finds all that it wrote.
      const next = seed === 0 ? disk.kill() : disk.reboot();
      const engine = await engineOn(next.files, { sealed: true });
      await using session = await resumeSession(engine.store, it.id, { tls: false });
      equal(session.record.sealed?.overPlain, true, where);
      await using overlay = await opened(engine, it);
      const found = await read(overlay);
      for (let at = 0; at < SIZE; at += PAGE) {
        const page = (of: Uint8Array) => Buffer.from(of.subarray(at, at + PAGE));
        const isNew = page(found).equals(page(after));
        ok(isNew || (!isAnswered && page(found).equals(page(it.contents))), `${where} at ${at}`);
      }
    }
  }
});

test('a disk that is too full for sealed overlays leaves a session as it is until it is resumed again', async () => {
  const it = await place();
  const files = faultyFs(it.disk.files, (operation, path) =>
    operation === 'create' && path.includes('vda.head') ? full(path) : undefined,
  );
  {
    const engine = await engineOn(files, { sealed: true });
    await using session = await resumeSession(engine.store, it.id, { tls: false });
    equal(session.record.sealed, undefined);
    await using overlay = await opened(engine, it);
    deepEqual(await read(overlay), it.contents);
  }
  const engine = await engineOn(it.disk.files, { sealed: true });
  await using session = await resumeSession(engine.store, it.id, { tls: false });
  equal(session.record.sealed?.overPlain, true);
});

test('a journal that forgot its sealed overlays is refused, and so is a session without what lies below', async () => {
  const it = await place();
  const engine = await engineOn(it.disk.files, { sealed: true });
  const directory = sessionDirectory(engine.store, it.id);
  const before = await engine.world.files.readFile(`${directory}/session.json`, 2 ** 16);
  {
    await using _session = await resumeSession(engine.store, it.id, { tls: false });
    await using overlay = await opened(engine, it);
    await overlay.write(new Uint8Array(PAGE).fill(3), 0, 'durable');
  }
  const now = await engine.world.files.readFile(`${directory}/session.json`, 2 ** 16);
  const put = async (bytes: Uint8Array): Promise<void> => {
    await engine.world.files.unlink(`${directory}/session.json`);
    await using file = await engine.world.files.create(`${directory}/session.json`);
    await file.write(bytes, 0);
  };
  await put(before);
  await rejects(resumeSession(engine.store, it.id, { tls: false }), {
    code: 'CORRUPT',
    message: /the journal is older than the file/,
  });
  await put(now);
  for (const name of ['vda.map', 'vda.head']) {
    await engine.world.files.rename(`${directory}/${name}`, `${directory}/away`);
    await rejects(opened(engine, it), { code: 'CORRUPT' }, name);
    const record = (await readJournal(engine.store, it.id))!;
    ok(
      (await sessionDamage(engine.store, record)).some((what) => what.includes(name)),
      name,
    );
    await engine.world.files.rename(`${directory}/away`, `${directory}/${name}`);
  }
  await discardSession(engine.store, it.id);
  deepEqual(await engine.world.files.list(`${HOME}/sessions`), []);
});
