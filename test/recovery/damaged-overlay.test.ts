import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { openNbdDisk } from '../../src/block/nbd-disk.ts';
import {
  decodeHead,
  encodeHead,
  PLACE_LENGTH,
  readTrailer,
} from '../../src/formats/store/overlay-log.ts';
import { guestMemory } from '../../src/recovery/guest-memory.ts';
import {
  type ServeEvent,
  type ServedSession,
  serveSession,
} from '../../src/recovery/serve-session.ts';
import { sessionDamage } from '../../src/recovery/session-check.ts';
import { sessionDirectory } from '../../src/recovery/session-files.ts';
import { type HeldSession, resumeSession, startSession } from '../../src/recovery/sessions.ts';
import { openBlockReader } from '../../src/store/block-reader.ts';
import { noise } from '../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../support/store.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// What a session says and does where what its guest wrote has rotted.

const PAGE = 4096;
const SIZE = 2 ** 20;

/** A session of an encrypted set, whose guest wrote pages 0 to 9, one by one, and which was stopped. */
async function place() {
  const world = simulatedWorld();
  const { store, set } = await newStore(world, { passphrase: 'secret' });
  const point = await storePoint(world, store, set, noise(SIZE, 1));
  const house = { world, store };
  const reader = openBlockReader(store, {});
  const socket = join(temporaryDirectory(), 'nbd.sock');
  const events: ServeEvent[] = [];
  async function serve(held: HeldSession): Promise<ServedSession> {
    return serveSession(house, held.record, {
      ...{ set, point, listen: { kind: 'unix', path: socket }, tls: undefined, nfs: undefined },
      ...{ reader, shared: undefined, memory: guestMemory(), begin: held.begin },
      ...{ admits: () => true, admitsUser: () => true },
      onEvent: (event) => void events.push(event),
    });
  }
  const options = { listen: `unix:${socket}`, tls: false, nfs: undefined } as const;
  await using held = await startSession(house, point, { ...options, whenFull: 'refuse' });
  {
    await using serving = await serve(held);
    await using guest = await openNbdDisk(serving.exports[0]!.uri);
    for (let page = 0; page < 10; page++) {
      await guest.write(new Uint8Array(PAGE).fill(page + 1), page * PAGE, 'durable');
    }
  }
  const { id } = held.record;
  const directory = sessionDirectory(store, id);
  return { house, set, id, directory, files: world.files, serve, events };
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
  await using held = await resumeSession(it.house, it.id, { tls: false });
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
  await using held = await resumeSession(it.house, it.id, { tls: false });
  deepEqual(await sessionDamage(it.house, held.record, it.set.keys), []);
  const path = await rot(it, 4);
  const found = await sessionDamage(it.house, held.record, it.set.keys);
  equal(found.length, 1, found.join('; '));
  match(found[0]!, /page 4 of disk vda/);
  ok(found[0]!.includes(path), found[0]);
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
      await file.write(encodeHead({ suite: 1, size: SIZE, overlayId, places: 256 }), 0);
    } else if (harm === 'other head') {
      // As of another disk of the same size.
      const bytes = await it.files.readFile(head, 4096);
      const { places } = decodeHead(bytes);
      await it.files.unlink(head);
      await using file = await it.files.create(head);
      const overlayId = new Uint8Array(16).fill(7);
      await file.write(encodeHead({ suite: 2, size: SIZE, overlayId, places }), 0);
    } else if (harm === 'head') await it.files.unlink(head);
    else for (const name of names) await it.files.unlink(join(it.directory, name));
    await using held = await resumeSession(it.house, it.id, { tls: false });
    await rejects(it.serve(held), { code: 'CORRUPT' }, harm);
    const found = await sessionDamage(it.house, held.record, it.set.keys);
    equal(found.length, 1, `${harm}: ${found.join('; ')}`);
  }
});
