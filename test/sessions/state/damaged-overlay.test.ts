import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import {
  decodeHeadFile,
  encodeHeadFile,
  HEAD_FILE_LENGTH,
} from '../../../src/formats/store/sessions/overlay-head.ts';
import { PLACE_LENGTH, readTrailer } from '../../../src/formats/store/sessions/overlay-log.ts';
import { listPoints, readPoint } from '../../../src/catalog/points.ts';
import { guestMemory } from '../../../src/sessions/serve/guest-memory.ts';
import { keepHeld } from '../../../src/sessions/finish/keep-session.ts';
import { machineWriting } from '../../../src/ingest/backup/store-machine.ts';
import {
  type ServeEvent,
  type ServedSession,
  serveSession,
} from '../../../src/sessions/serve/serve-session.ts';
import { sessionDamage } from '../../../src/sessions/check/session-check.ts';
import { readJournal, sessionDirectory } from '../../../src/sessions/state/session-files.ts';
import {
  type HeldSession,
  resumeSession,
  startSession,
} from '../../../src/sessions/state/held-session.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { CUTTING_DEFAULT } from '../../../src/store/write/chunker.ts';
import { inlineEncoder } from '../../../src/store/write/encoder.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { broken, faultyFs } from '../../support/faulty-fs.ts';
import { noise } from '../../support/random.ts';
import {
  HOME,
  newStore,
  simulatedWorld,
  simulatedWriter,
  storePoint,
} from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

// What a session says and does where what its guest wrote has rotted.

const PAGE = 4096;
const SIZE = 2 ** 20;

/** A session of an encrypted set, whose guest wrote pages 0 to 9, one by one, and which was stopped. */
async function place() {
  const world = simulatedWorld();
  const { store, set } = await newStore(world, { passphrase: 'secret' });
  const point = await storePoint(store, set, noise(SIZE, 1));
  const engine = { world, store };
  const reader = openBlockReader(store, {});
  const socket = join(temporaryDirectory(), 'nbd.sock');
  const events: ServeEvent[] = [];
  async function serve(held: HeldSession, on = store): Promise<ServedSession> {
    return serveSession(on, held.record, {
      ...{ set, point, listen: { kind: 'unix', path: socket }, tls: undefined, nfs: undefined },
      ...{ reader, shared: undefined, memory: guestMemory(), begin: held.begin },
      ...{ admits: () => true, admitsUser: () => true },
      onEvent: (event) => void events.push(event),
    });
  }
  const options = { listen: `unix:${socket}`, tls: false, nfs: undefined } as const;
  await using held = await startSession(engine.store, point, { ...options, whenFull: 'refuse' });
  {
    await using serving = await serve(held);
    await using guest = await openNbdDisk(serving.exports[0]!.uri);
    for (let page = 0; page < 10; page++) {
      await guest.write(new Uint8Array(PAGE).fill(page + 1), page * PAGE, 'durable');
    }
  }
  const { id } = held.record;
  const directory = sessionDirectory(store, id);
  return { engine, set, id, directory, files: world.files, serve, events };
}

/** Flips a bit in the body of the slot that holds `page`; answers the path of its segment. */
async function rot({ files, directory }: Awaited<ReturnType<typeof place>>, page: number) {
  for (const name of (await files.list(directory)).filter((it) => it.endsWith('.seg'))) {
    const path = join(directory, name);
    await using file = await files.open(path, 'write');
    const bytes = new Uint8Array(PLACE_LENGTH);
    for (let place = 1; (await file.read(bytes, place * PLACE_LENGTH)) === PLACE_LENGTH; place++) {
      const trailer = readTrailer(bytes, PAGE);
      if (trailer?.kind !== 'pages' || trailer.page !== page) continue;
      await file.write(Uint8Array.of(bytes[100]! ^ 1), place * PLACE_LENGTH + 100);
      return path;
    }
  }
  throw new Error(`page ${page} was not written`);
}

test('a page that has rotted is an error for who reads it, and all others are served', async () => {
  const it = await place();
  const path = await rot(it, 4);
  await using held = await resumeSession(it.engine.store, it.id, { tls: false });
  {
    await using serving = await it.serve(held);
    await using guest = await openNbdDisk(serving.exports[0]!.uri);
    const page = new Uint8Array(PAGE);
    for (const at of [0, 3, 5, 9]) {
      await guest.read(page, at * PAGE);
      deepEqual(page, new Uint8Array(PAGE).fill(at + 1), `page ${at}`);
    }
    await rejects(guest.read(page, 4 * PAGE), { code: 'IO' });
    const damage = it.events.flatMap((event) => (event.kind === 'damaged' ? [event.what] : []));
    ok(damage.length > 0);
    for (const what of damage) {
      match(what, /page 4/);
      ok(what.includes(path), what);
    }
    // What is written again is whole again.
    await guest.write(new Uint8Array(PAGE).fill(77), 4 * PAGE, 'durable');
    await guest.read(page, 4 * PAGE);
    deepEqual(page, new Uint8Array(PAGE).fill(77));
  }
});

test('a check finds a page that has rotted where it has the key of the set', async () => {
  const it = await place();
  await using held = await resumeSession(it.engine.store, it.id, { tls: false });
  deepEqual(await sessionDamage(it.engine.store, held.record, it.set.keys), []);
  const path = await rot(it, 4);
  const found = await sessionDamage(it.engine.store, held.record, it.set.keys);
  equal(found.length, 1, found.join('; '));
  match(found[0]!, /page 4 of disk vda/);
  ok(found[0]!.includes(path), found[0]);
});

/** As `session keep`, encoding in this thread. */
async function keep({ engine, set, id }: Awaited<ReturnType<typeof place>>): Promise<string> {
  const { world, store } = engine;
  const record = (await readJournal(store, id))!;
  await using writer = await simulatedWriter(store, set);
  const encoding = { keys: set.keys, cutting: CUTTING_DEFAULT, random: world.random, writer };
  await using encoder = inlineEncoder(encoding);
  await using reader = openBlockReader(store, {});
  const writing = machineWriting(store, { set, writer, encoder });
  return await keepHeld(engine.store, record, { ...writing, reader });
}

test('a session with a page that has rotted is not kept, goes on, and is kept once that is written again', async () => {
  const it = await place();
  await rot(it, 4);
  const advice = /was not kept, and is unchanged: page 4 of disk vda .*keep the session$/;
  await rejects(keep(it), { code: 'CORRUPT', message: advice });
  {
    await using held = await resumeSession(it.engine.store, it.id, { tls: false });
    await using serving = await it.serve(held);
    await using guest = await openNbdDisk(serving.exports[0]!.uri);
    await guest.write(new Uint8Array(PAGE).fill(77), 4 * PAGE, 'durable');
  }
  const kept = await keep(it);
  const { store } = it.engine;
  const point = await readPoint(store, it.set, kept);
  await using reader = openBlockReader(store, {});
  const { keys } = it.set;
  await using disk = manifestDisk(reader, { name: 'vda', root: point.disks[0]!, keys });
  for (const [page, byte] of [
    [3, 4],
    [4, 77],
  ] as const) {
    const found = new Uint8Array(PAGE);
    await disk.read(found, page * PAGE);
    deepEqual(found, new Uint8Array(PAGE).fill(byte));
  }
});

test('a session of which it is not known what was lost is read-only, and never becomes a recovery point', async () => {
  const it = await place();
  const [name] = (await it.files.list(it.directory)).filter((file) => file.endsWith('.seg'));
  const path = join(it.directory, name!);
  // What lies there once was a page; nothing says which.
  await using file = await it.files.open(path, 'write');
  await file.write(new Uint8Array(PLACE_LENGTH), 4 * PLACE_LENGTH);
  await rejects(keep(it), { code: 'CORRUPT', message: /damaged at place 4, .*Then discard it$/ });
  const { store } = it.engine;
  equal((await listPoints(store, 'set')).points.length, 1);
  await using held = await resumeSession(it.engine.store, it.id, { tls: false });
  await using serving = await it.serve(held);
  await using guest = await openNbdDisk(serving.exports[0]!.uri);
  await rejects(guest.write(new Uint8Array(PAGE), 0, 'durable'));
  const told = it.events.flatMap((event) => (event.kind === 'damaged' ? [event.what] : []));
  match(told.at(-1)!, /the guest can only read disk vda, which may be older in places/);
});

test('a disk that fails while a guest flushes is reported, not only to the guest', async () => {
  const it = await place();
  let isBroken = false;
  const files = faultyFs(it.files, (operation, path) =>
    isBroken && operation === 'sync' && path.endsWith('.seg') ? broken(path) : undefined,
  );
  const store = { ...it.engine.store, files };
  await using held = await resumeSession(store, it.id, { tls: false });
  const serving = await it.serve(held, store);
  await using guest = await openNbdDisk(serving.exports[0]!.uri);
  await guest.write(new Uint8Array(PAGE).fill(7), 0, 'durable');
  equal(it.events.length, 0);
  isBroken = true;
  await rejects(guest.write(new Uint8Array(PAGE).fill(8), 0, 'durable'), { code: 'IO' });
  const told = it.events.flatMap((event) => (event.kind === 'damaged' ? [event.what] : []));
  match(
    told[0]!,
    /^the disk of the store failed while disk vda was flushed: .* stopped and resumed$/,
  );
  await rejects(async () => serving[Symbol.asyncDispose]());
});

test('what the store has lost of the recovery point is reported when a guest reads it', async () => {
  const it = await place();
  const packs = `${HOME}/packs/00000`;
  for (const name of await it.files.list(packs)) await it.files.unlink(`${packs}/${name}`);
  await using held = await resumeSession(it.engine.store, it.id, { tls: false });
  await using serving = await it.serve(held);
  await using guest = await openNbdDisk(serving.exports[0]!.uri);
  await rejects(guest.read(new Uint8Array(PAGE), 100 * PAGE), { code: 'IO' });
  const told = it.events.flatMap((event) => (event.kind === 'lost' ? [event.what] : []));
  match(told.join(), /pack 2 cannot be opened/);
});

test('an overlay that is not sealed as its set is, or has lost all it held, is never served', async () => {
  for (const harm of ['suite', 'segments', 'head', 'other head'] as const) {
    const it = await place();
    const head = join(it.directory, 'vda.head');
    const names = (await it.files.list(it.directory)).filter((name) => /\.(seg|sum)$/.test(name));
    if (harm === 'suite') {
      const overlayId = new Uint8Array(16);
      await it.files.unlink(head);
      await using file = await it.files.create(head);
      await file.write(encodeHeadFile({ suite: 1, size: SIZE, overlayId, places: 256 }), 0);
    } else if (harm === 'other head') {
      // As of another disk of the same size.
      const bytes = await it.files.readFile(head, 2 * HEAD_FILE_LENGTH);
      const { places } = decodeHeadFile(bytes).head;
      await it.files.unlink(head);
      await using file = await it.files.create(head);
      const overlayId = new Uint8Array(16).fill(7);
      await file.write(encodeHeadFile({ suite: 2, size: SIZE, overlayId, places }), 0);
    } else if (harm === 'head') await it.files.unlink(head);
    else for (const name of names) await it.files.unlink(join(it.directory, name));
    await using held = await resumeSession(it.engine.store, it.id, { tls: false });
    await rejects(it.serve(held), { code: 'CORRUPT' }, harm);
    const found = await sessionDamage(it.engine.store, held.record, it.set.keys);
    equal(found.length, 1, `${harm}: ${found.join('; ')}`);
  }
});
