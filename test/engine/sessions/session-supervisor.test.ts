import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { CatalogError } from '../../../src/catalog/catalog-error.ts';
import { type Engine, openEngine, type SecretSource } from '../../../src/engine/base/engine.ts';
import type { SupervisorEvent } from '../../../src/engine/sessions/session-events.ts';
import { sessionSupervisor } from '../../../src/engine/sessions/session-supervisor.ts';
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
function over(engine: Engine, parts: Partial<World>): Engine {
  const store = { ...engine.store, ...parts };
  return { ...engine, store };
}

function supervisorOf(engine: Engine, secrets: SecretSource) {
  const events: SupervisorEvent['kind'][] = [];
  const supervisor = sessionSupervisor(engine, {
    secrets,
    onEvent: ({ kind }) => void events.push(kind),
    hypervisors: async () => {
      throw new Error('no session here has a hypervisor');
    },
    keep: async () => {
      throw new Error('no session here is kept');
    },
  });
  return { supervisor, events };
}

const reached = { listen: undefined, nfs: undefined, tls: undefined };
const whole = () => ({ secrets: KEY, report: () => {}, signal: new AbortController().signal });
const point = { kind: 'point', point: 'vm@latest', whenFull: 'pause' } as const;

/** How the store is where nothing runs and nothing is left of what ran. */
async function expectNothing(engine: Engine): Promise<void> {
  deepEqual(readdirSync(join(store, 'sessions')), []);
  const leases = readdirSync(join(store, 'leases')).filter((name) => name.endsWith('.json'));
  deepEqual(leases, []);
  deepEqual(await servedSessions(engine.store), []);
}

test('who asked for a session and left before it ran has made none', async () => {
  await using engine = await openEngine(store);
  const { supervisor } = supervisorOf(engine, KEY);
  const gate = gated();
  const leaving = new AbortController();
  const started = supervisor.start(
    { what: point, ...reached },
    { ...whole(), secrets: gate.source, signal: leaving.signal },
  );
  await gate.asked;
  leaving.abort(new SystemError('UNREACHABLE', 'the client has left'));
  gate.open();
  await rejects(started, { code: 'UNREACHABLE' });
  deepEqual(supervisor.counts(), { running: 0, waiting: 0 });
  await expectNothing(engine);
  await supervisor[Symbol.asyncDispose]();
});

test('a session that cannot be noted as one of the service is not left behind', async () => {
  await using engine = await openEngine(store);
  const files = faultyFs(engine.store.files, (operation, path) =>
    operation === 'create' && path.includes('served.json') ? full(path) : undefined,
  );
  const { supervisor } = supervisorOf(over(engine, { files }), KEY);
  await rejects(supervisor.start({ what: point, ...reached }, whole()), { code: 'NO_SPACE' });
  await expectNothing(engine);
  await supervisor[Symbol.asyncDispose]();
});

test('a start that the end of the service overtakes makes nothing that a later one would run', async () => {
  await using engine = await openEngine(store);
  const noting = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const files: FileSystem = {
    ...engine.store.files,
    async create(path) {
      if (path.includes('served.json')) {
        noting.resolve();
        await gate.promise;
      }
      return engine.store.files.create(path);
    },
  };
  const { supervisor } = supervisorOf(over(engine, { files }), KEY);
  const started = supervisor.start({ what: point, ...reached }, whole());
  await noting.promise;
  const ended = supervisor[Symbol.asyncDispose]();
  gate.resolve();
  await rejects(started, /the service is stopping/);
  await ended;
  await expectNothing(engine);
});

test('a session that is stopped while it is being resumed is stopped', async () => {
  await using engine = await openEngine(store);
  const { supervisor: first } = supervisorOf(engine, KEY);
  const { session } = await first.start({ what: point, ...reached }, whole());
  await first[Symbol.asyncDispose]();
  deepEqual(await servedSessions(engine.store), [session]);

  let secrets = NO_KEY;
  const { supervisor, events } = supervisorOf(engine, (...asked) => secrets(...asked));
  await supervisor.resumeAll();
  deepEqual(supervisor.counts(), { running: 0, waiting: 1 });
  const gate = gated();
  secrets = gate.source;
  const resumed = supervisor.resumeAll();
  await gate.asked;
  const stopped = supervisor.stop(session);
  gate.open();
  await Promise.all([resumed, stopped]);
  deepEqual(supervisor.counts(), { running: 0, waiting: 0 });
  deepEqual(await servedSessions(engine.store), []);
  equal(events.at(-1), 'stopped');
  await rejects(supervisor.stop(session), { code: 'IMPOSSIBLE' });

  // Until a client wants it again.
  await supervisor.start({ what: { kind: 'resume', session }, ...reached }, whole());
  deepEqual(supervisor.counts(), { running: 1, waiting: 0 });
  await supervisor[Symbol.asyncDispose]();
});

test('a disk that does not say what sessions there are is asked again, and ends nothing', async () => {
  await using engine = await openEngine(store);
  const clock = fakeClock('2026-11-21T12:00:00Z');
  let secrets = NO_KEY;
  const asked: string[] = [];
  let isFailing = false;
  const files: FileSystem = {
    ...engine.store.files,
    async list(path) {
      if (!isFailing || !path.endsWith('sessions')) return engine.store.files.list(path);
      asked.push(path);
      throw new SystemError('IO', `${path}: input/output error`);
    },
  };
  const { supervisor } = supervisorOf(over(engine, { files, clock }), (...asked) =>
    secrets(...asked),
  );
  await supervisor.resumeAll();
  deepEqual(supervisor.counts(), { running: 0, waiting: 1 });
  isFailing = true;
  await until('a second attempt', async () => {
    await clock.advance(15_000);
    return asked.length >= 2;
  });
  isFailing = false;
  secrets = KEY;
  await until('the session', async () => {
    await clock.advance(15_000);
    return supervisor.counts().running > 0;
  });
  deepEqual(supervisor.counts(), { running: 1, waiting: 0 });
  await supervisor[Symbol.asyncDispose]();
});

test('who asked for a resumption and left has made no session that is resumed for ever', async () => {
  await using engine = await openEngine(store);
  const { supervisor: first } = supervisorOf(engine, KEY);
  const { session } = await first.start({ what: point, ...reached }, whole());
  await first.stop(session);
  await first[Symbol.asyncDispose]();
  const leaving = new AbortController();
  const files: FileSystem = {
    ...engine.store.files,
    async rename(from, to) {
      await engine.store.files.rename(from, to);
      if (!to.endsWith('served.json')) return;
      leaving.abort(new SystemError('UNREACHABLE', 'the client has left'));
    },
  };
  const { supervisor } = supervisorOf(over(engine, { files }), KEY);
  const asked = { what: { kind: 'resume', session }, ...reached } as const;
  const started = supervisor.start(asked, { ...whole(), signal: leaving.signal });
  await rejects(started, { code: 'UNREACHABLE' });
  equal((await servedSessions(engine.store)).includes(session), false);
  deepEqual(supervisor.counts(), { running: 0, waiting: 0 });
  await supervisor[Symbol.asyncDispose]();
});

test('a session that waits for the same reason as before is reported once', async () => {
  await using engine = await openEngine(store);
  const { supervisor: first } = supervisorOf(engine, KEY);
  await first.start({ what: point, ...reached }, whole());
  await first[Symbol.asyncDispose]();
  let reason = 'the key is missing';
  const { supervisor, events } = supervisorOf(engine, async () => {
    throw new CatalogError('WRONG_KEY', reason);
  });
  for (let n = 0; n < 3; n++) await supervisor.resumeAll();
  equal(events.filter((kind) => kind === 'waits').length, supervisor.counts().waiting);
  reason = 'it is away';
  await supervisor.resumeAll();
  equal(events.filter((kind) => kind === 'waits').length, 2 * supervisor.counts().waiting);
  await supervisor[Symbol.asyncDispose]();
});

test('a session is stopped and discarded also where the box cannot note it', async () => {
  await using engine = await openEngine(store);
  const forget = async (): Promise<void> => {
    throw new SystemError('NO_SPACE', 'the disk of the box is full');
  };
  const fullBox = { ...engine, memory: { ...engine.memory, forget } };
  const { supervisor, events } = supervisorOf(fullBox, KEY);
  const { session } = await supervisor.start({ what: point, ...reached }, whole());
  await supervisor.stop(session);
  deepEqual(supervisor.counts(), { running: 0, waiting: 0 });
  deepEqual(events, ['started', 'notice', 'stopped']);
  const told: string[] = [];
  await discard(fullBox, session, (message) => void told.push(message));
  equal(readdirSync(join(store, 'sessions')).includes(session), false);
  match(told[0]!, new RegExp(`session ${session} has ended: the disk of the box is full`));
  await supervisor[Symbol.asyncDispose]();
});

test('a session whose start was never answered leaves nothing in the memory of the box', async () => {
  await using engine = await openEngine(store);
  const forgotten: string[] = [];
  const memory = {
    ...engine.memory,
    async forget(orders: Parameters<Engine['memory']['forget']>[0]) {
      forgotten.push(...orders.map(({ kind }) => kind));
      await engine.memory.forget(orders);
    },
  };
  const leaving = new AbortController();
  const files: FileSystem = {
    ...engine.store.files,
    async rename(from, to) {
      await engine.store.files.rename(from, to);
      if (!to.endsWith('served.json')) return;
      leaving.abort(new SystemError('UNREACHABLE', 'the client has left'));
    },
  };
  const { supervisor } = supervisorOf({ ...over(engine, { files }), memory }, KEY);
  const started = supervisor.start(
    { what: point, ...reached },
    { ...whole(), signal: leaving.signal },
  );
  await rejects(started, { code: 'UNREACHABLE' });
  deepEqual(forgotten.sort(), ['placed', 'served', 'served', 'session']);
  await supervisor[Symbol.asyncDispose]();
});
