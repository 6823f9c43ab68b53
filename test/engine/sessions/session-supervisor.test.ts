import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { CatalogError } from '../../../src/catalog/catalog-error.ts';
import { type House, openHouse, type SecretSource } from '../../../src/engine/base/engine.ts';
import {
  type KeeperEvent,
  sessionKeeper,
} from '../../../src/engine/sessions/session-supervisor.ts';
import { discard } from '../../../src/engine/sessions/run-session.ts';
import { servedSessions } from '../../../src/sessions/state/served-sessions.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { faultyFs, full } from '../../support/faulty-fs.ts';
import { makeRawDisk } from '../../support/images.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import type { World } from '../../../src/sys/world.ts';
import { until } from '../../support/until.ts';

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 8 * 2 ** 20, 50);
const { store, backUp } = await engineIn(root);
await backUp('vm', image);

const NO_KEY: SecretSource = async () => {
  throw new CatalogError('WRONG_KEY', 'the key is missing');
};

/** A source of secrets for which a caller waits. */
function gated() {
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const source: SecretSource = async (...about) => {
    asked.resolve();
    await gate.promise;
    return KEY(...about);
  };
  return { source, asked: asked.promise, open: () => gate.resolve() };
}

/** The same store in a world with other parts. */
function over(house: House, parts: Partial<World>): House {
  const store = { ...house.store, ...parts };
  return { ...house, store };
}

function keeperOf(house: House, secrets: SecretSource) {
  const events: KeeperEvent['kind'][] = [];
  const keeper = sessionKeeper(house, { secrets, onEvent: ({ kind }) => void events.push(kind) });
  return { keeper, events };
}

const reached = { listen: undefined, nfs: undefined, tls: undefined };
const whole = () => ({ secrets: KEY, report: () => {}, signal: new AbortController().signal });
const point = { kind: 'point', point: 'vm@latest', whenFull: 'pause' } as const;

/** How the store is where nothing runs and nothing is left of what ran. */
async function expectNothing(house: House): Promise<void> {
  deepEqual(readdirSync(join(store, 'sessions')), []);
  const leases = readdirSync(join(store, 'leases')).filter((name) => name !== 'lock');
  deepEqual(leases, []);
  deepEqual(await servedSessions(house.store), []);
}

test('who asked for a session and left before it ran has made none', async () => {
  await using house = await openHouse(store);
  const { keeper } = keeperOf(house, KEY);
  const gate = gated();
  const leaving = new AbortController();
  const started = keeper.start(
    { what: point, ...reached },
    { ...whole(), secrets: gate.source, signal: leaving.signal },
  );
  await gate.asked;
  leaving.abort(new SystemError('UNREACHABLE', 'the client has left'));
  gate.open();
  await rejects(started, { code: 'UNREACHABLE' });
  deepEqual(keeper.counts(), { running: 0, waiting: 0 });
  await expectNothing(house);
  await keeper[Symbol.asyncDispose]();
});

test('a session that cannot be noted as one of the service is not left behind', async () => {
  await using house = await openHouse(store);
  const files = faultyFs(house.store.files, (operation, path) =>
    operation === 'create' && path.includes('served.json') ? full(path) : undefined,
  );
  const { keeper } = keeperOf(over(house, { files }), KEY);
  await rejects(keeper.start({ what: point, ...reached }, whole()), { code: 'NO_SPACE' });
  await expectNothing(house);
  await keeper[Symbol.asyncDispose]();
});

test('a start that the end of the service overtakes makes nothing that a later one would run', async () => {
  await using house = await openHouse(store);
  const noting = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const files: FileSystem = {
    ...house.store.files,
    async create(path) {
      if (path.includes('served.json')) {
        noting.resolve();
        await gate.promise;
      }
      return house.store.files.create(path);
    },
  };
  const { keeper } = keeperOf(over(house, { files }), KEY);
  const started = keeper.start({ what: point, ...reached }, whole());
  await noting.promise;
  const ended = keeper[Symbol.asyncDispose]();
  gate.resolve();
  await rejects(started, /the service is stopping/);
  await ended;
  await expectNothing(house);
});

test('a session that is stopped while it is being resumed is stopped', async () => {
  await using house = await openHouse(store);
  const { keeper: first } = keeperOf(house, KEY);
  const { session } = await first.start({ what: point, ...reached }, whole());
  await first[Symbol.asyncDispose]();
  deepEqual(await servedSessions(house.store), [session]);

  let secrets = NO_KEY;
  const { keeper, events } = keeperOf(house, (...asked) => secrets(...asked));
  await keeper.resumeAll();
  deepEqual(keeper.counts(), { running: 0, waiting: 1 });
  const gate = gated();
  secrets = gate.source;
  const resumed = keeper.resumeAll();
  await gate.asked;
  const stopped = keeper.stop(session);
  gate.open();
  await Promise.all([resumed, stopped]);
  deepEqual(keeper.counts(), { running: 0, waiting: 0 });
  deepEqual(await servedSessions(house.store), []);
  equal(events.at(-1), 'stopped');
  await rejects(keeper.stop(session), { code: 'IMPOSSIBLE' });

  // Until a client wants it again.
  await keeper.start({ what: { kind: 'resume', session }, ...reached }, whole());
  deepEqual(keeper.counts(), { running: 1, waiting: 0 });
  await keeper[Symbol.asyncDispose]();
});

test('a disk that does not say what sessions there are is asked again, and ends nothing', async () => {
  await using house = await openHouse(store);
  const clock = fakeClock('2026-11-21T12:00:00Z');
  let secrets = NO_KEY;
  const asked: string[] = [];
  let isFailing = false;
  const files: FileSystem = {
    ...house.store.files,
    async list(path) {
      if (!isFailing || !path.endsWith('sessions')) return house.store.files.list(path);
      asked.push(path);
      throw new SystemError('IO', `${path}: input/output error`);
    },
  };
  const { keeper } = keeperOf(over(house, { files, clock }), (...asked) => secrets(...asked));
  await keeper.resumeAll();
  deepEqual(keeper.counts(), { running: 0, waiting: 1 });
  isFailing = true;
  await until('a second attempt', async () => {
    await clock.advance(15_000);
    return asked.length >= 2;
  });
  isFailing = false;
  secrets = KEY;
  await until('the session', async () => {
    await clock.advance(15_000);
    return keeper.counts().running > 0;
  });
  deepEqual(keeper.counts(), { running: 1, waiting: 0 });
  await keeper[Symbol.asyncDispose]();
});

test('who asked for a resumption and left has made no session that is resumed for ever', async () => {
  await using house = await openHouse(store);
  const { keeper: first } = keeperOf(house, KEY);
  const { session } = await first.start({ what: point, ...reached }, whole());
  await first.stop(session);
  await first[Symbol.asyncDispose]();
  const leaving = new AbortController();
  const files: FileSystem = {
    ...house.store.files,
    async rename(from, to) {
      await house.store.files.rename(from, to);
      if (!to.endsWith('served.json')) return;
      leaving.abort(new SystemError('UNREACHABLE', 'the client has left'));
    },
  };
  const { keeper } = keeperOf(over(house, { files }), KEY);
  const asked = { what: { kind: 'resume', session }, ...reached } as const;
  const started = keeper.start(asked, { ...whole(), signal: leaving.signal });
  await rejects(started, { code: 'UNREACHABLE' });
  equal((await servedSessions(house.store)).includes(session), false);
  deepEqual(keeper.counts(), { running: 0, waiting: 0 });
  await keeper[Symbol.asyncDispose]();
});

test('a session that waits for the same reason as before is reported once', async () => {
  await using house = await openHouse(store);
  const { keeper: first } = keeperOf(house, KEY);
  await first.start({ what: point, ...reached }, whole());
  await first[Symbol.asyncDispose]();
  let reason = 'the key is missing';
  const { keeper, events } = keeperOf(house, async () => {
    throw new CatalogError('WRONG_KEY', reason);
  });
  for (let n = 0; n < 3; n++) await keeper.resumeAll();
  equal(events.filter((kind) => kind === 'waits').length, keeper.counts().waiting);
  reason = 'it is away';
  await keeper.resumeAll();
  equal(events.filter((kind) => kind === 'waits').length, 2 * keeper.counts().waiting);
  await keeper[Symbol.asyncDispose]();
});

test('a session is stopped and discarded also where the box cannot note it', async () => {
  await using house = await openHouse(store);
  const forget = async (): Promise<void> => {
    throw new SystemError('NO_SPACE', 'the disk of the box is full');
  };
  const fullBox = { ...house, memory: { ...house.memory, forget } };
  const { keeper, events } = keeperOf(fullBox, KEY);
  const { session } = await keeper.start({ what: point, ...reached }, whole());
  await keeper.stop(session);
  deepEqual(keeper.counts(), { running: 0, waiting: 0 });
  deepEqual(events, ['started', 'notice', 'stopped']);
  const told: string[] = [];
  await discard(fullBox, session, (message) => void told.push(message));
  equal(readdirSync(join(store, 'sessions')).includes(session), false);
  match(told[0]!, new RegExp(`session ${session} is over: the disk of the box is full`));
  await keeper[Symbol.asyncDispose]();
});

test('a session whose start was never answered leaves nothing in the memory of the box', async () => {
  await using house = await openHouse(store);
  const forgotten: string[] = [];
  const memory = {
    ...house.memory,
    async forget(orders: Parameters<House['memory']['forget']>[0]) {
      forgotten.push(...orders.map(({ kind }) => kind));
      await house.memory.forget(orders);
    },
  };
  const leaving = new AbortController();
  const files: FileSystem = {
    ...house.store.files,
    async rename(from, to) {
      await house.store.files.rename(from, to);
      if (!to.endsWith('served.json')) return;
      leaving.abort(new SystemError('UNREACHABLE', 'the client has left'));
    },
  };
  const { keeper } = keeperOf({ ...over(house, { files }), memory }, KEY);
  const started = keeper.start({ what: point, ...reached }, { ...whole(), signal: leaving.signal });
  await rejects(started, { code: 'UNREACHABLE' });
  deepEqual(forgotten.sort(), ['served', 'served', 'session']);
  await keeper[Symbol.asyncDispose]();
});
