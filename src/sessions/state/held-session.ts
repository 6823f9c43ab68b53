import { join } from 'node:path/posix';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { NfsPlace, SessionRecord, WhenFull } from '../../formats/store/sessions/session.ts';
import { refuseLinks } from '../../store/directory/own-directories.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { SessionError } from './session-error.ts';
import { advance, type Steps } from './session-executor.ts';
import {
  emptySession,
  readJournal,
  sessionDirectory,
  sessionIds,
  sessionJournal,
  writeJournal,
} from './session-files.ts';
import { openSocket } from './session-sockets.ts';
import type { SessionHouse } from './session-store.ts';
import { sealSession } from './session-overlays.ts';
import { clean, mendLease, prepare, sessionDisks } from './session-steps.ts';

/** A session that this process holds: nobody else serves or changes it. */
export interface HeldSession extends AsyncDisposable {
  /** As it is now. */
  readonly record: SessionRecord;
  /** Makes its journal say that the sealed log of this disk has begun. */
  begin(disk: string): Promise<void>;
  /** Remembers where its clients find it, and will look for it after a restart. */
  settle(place: SessionPlace): Promise<void>;
}

export type SessionPlace = Pick<SessionRecord, 'listen' | 'tls' | 'nfs'>;

export interface NewSession {
  /** Where its disks will be exported; undefined: a socket of its own. */
  readonly listen: string | undefined;
  /** Where that is made; undefined: in the session's directory, which no other user can enter. */
  readonly sockets?: string | undefined;
  readonly tls: boolean;
  readonly nfs: NfsPlace | undefined;
  readonly whenFull: WhenFull;
}

const ID_RANDOM_LENGTH = 3;

/** Makes a session of a recovery point, ready to be served. */
export async function startSession(
  house: SessionHouse,
  point: PointRecord,
  { listen, sockets, tls, nfs, whenFull }: NewSession,
): Promise<HeldSession> {
  const { world, store } = house;
  const tail = Buffer.from(world.random.bytes(ID_RANDOM_LENGTH)).toString('hex');
  const id = `${point.machine}-${tail}`;
  const directory = sessionDirectory(store, id);
  await refuseLinks(world, store);
  await world.files.makeDirectory(directory);
  const lock = await holdSession(house, id);
  try {
    const record: SessionRecord = {
      id,
      created: world.clock.now().toISOString(),
      set: point.set,
      point: point.id,
      machine: point.machine,
      disks: sessionDisks(point),
      listen: listen ?? `unix:${sockets ? openSocket(sockets, id) : join(directory, 'nbd.sock')}`,
      tls,
      nfs,
      whenFull,
      phase: 'preparing',
      keepAs: undefined,
      sealed: store.has('sealed-overlay') ? { begun: [], overPlain: false } : undefined,
    };
    await writeJournal(world, store, record);
    return held(house, (await advance(house, record, undefined, stepsWithoutKeys(house)))!, lock);
  } catch (cause) {
    await lock[Symbol.asyncDispose]();
    throw cause;
  }
}

/**
 * Takes hold of a session that was stopped, or whose process died. What was open to TLS clients only
 * stays so: IMPOSSIBLE without `tls`. Rejects RUNNING, NOT_FOUND.
 */
export async function resumeSession(
  house: SessionHouse,
  id: string,
  { tls }: { readonly tls: boolean },
): Promise<HeldSession> {
  const { record, lock } = await holdFound(house, id);
  try {
    if (record.phase !== 'preparing' && record.phase !== 'ready') {
      const doing = record.phase === 'keeping' ? 'keep' : 'discard';
      throw new SessionError(
        'IMPOSSIBLE',
        `session ${id} was being ended: finish that with "session ${doing} ${id}"`,
      );
    }
    if (record.tls && !tls) {
      throw new SessionError(
        'IMPOSSIBLE',
        `session ${id} is open to TLS clients only: give --tls-x509 or --tls-psk again`,
      );
    }
    if (record.phase === 'ready') await mendLease(house, record);
    const ready = (await advance(house, record, undefined, stepsWithoutKeys(house)))!;
    return held(house, await sealSession(house, ready), lock);
  } catch (cause) {
    await lock[Symbol.asyncDispose]();
    throw cause;
  }
}

export interface SessionStatus {
  readonly record: SessionRecord;
  /** Who serves it now. */
  readonly holder: string | undefined;
  /** Bytes that its overlays and files take on the disk. */
  readonly takenBytes: number;
}

export interface SessionListing {
  readonly sessions: readonly SessionStatus[];
  /** What cannot be read, and why. */
  readonly damaged: readonly { readonly path: string; readonly reason: string }[];
}

/** One that is discarded meanwhile is left out. */
export async function listSessions(house: SessionHouse): Promise<SessionListing> {
  const sessions: SessionStatus[] = [];
  const damaged: SessionListing['damaged'][number][] = [];
  for (const id of await sessionIds(house.world, house.store)) {
    try {
      sessions.push(await sessionStatus(house, id));
    } catch (cause) {
      if (!(cause instanceof SessionError) && !(cause instanceof SystemError)) throw cause;
      if (cause.code === 'NOT_FOUND') continue;
      damaged.push({ path: sessionDirectory(house.store, id), reason: cause.message });
    }
  }
  return { sessions, damaged };
}

/** Rejects NOT_FOUND. */
export async function sessionStatus(house: SessionHouse, id: string): Promise<SessionStatus> {
  const record = await findSession(house, id);
  const directory = sessionDirectory(house.store, id);
  let takenBytes = 0;
  for (const name of await house.world.files.list(directory)) {
    takenBytes += (await house.world.files.stat(join(directory, name)))?.allocated ?? 0;
  }
  const holder = await house.world.files.lockHolder(join(directory, 'lock'));
  return { record, holder, takenBytes };
}

/** Throws away what the session wrote; on a full disk, and without its journal, too. Rejects RUNNING, NOT_FOUND. */
export async function discardSession(house: SessionHouse, id: string): Promise<void> {
  if (await isJournalDamaged(house, id)) {
    await refuseLinks(house.world, house.store);
    await using _lock = await holdSession(house, id);
    return clean(house, { id });
  }
  const { record, lock } = await holdFound(house, id);
  await using _lock = lock;
  try {
    await advance(house, record, { kind: 'discard' }, stepsWithoutKeys(house));
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'NO_SPACE') throw cause;
    // A full disk has no room for the journal. Once the overlays are gone it is not needed: there is nothing
    // left to do with the session but this.
    await emptySession(house.world, house.store, id);
    await clean(house, record);
  }
}

async function isJournalDamaged(house: SessionHouse, id: string): Promise<boolean> {
  try {
    await findSession(house, id);
    return false;
  } catch (cause) {
    if (!(cause instanceof SessionError) || cause.code !== 'CORRUPT') throw cause;
    return true;
  }
}

async function findSession({ world, store }: SessionHouse, id: string): Promise<SessionRecord> {
  const record = await readJournal(world, store, id);
  if (record) return record;
  throw new SessionError('NOT_FOUND', `there is no session "${id}": see "session list"`);
}

/** The session as it is now that nobody else can change it. */
export async function holdFound(
  house: SessionHouse,
  id: string,
): Promise<{ readonly record: SessionRecord; readonly lock: AsyncDisposable }> {
  await findSession(house, id);
  await refuseLinks(house.world, house.store);
  const lock = await holdSession(house, id);
  try {
    return { record: await findSession(house, id), lock };
  } catch (cause) {
    await lock[Symbol.asyncDispose]();
    throw cause;
  }
}

async function holdSession({ world, store }: SessionHouse, id: string): Promise<AsyncDisposable> {
  const path = join(sessionDirectory(store, id), 'lock');
  try {
    return await world.files.lock(path, 'holdfast');
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'BUSY') throw cause;
    const holder = (await world.files.lockHolder(path)) ?? 'another process';
    throw new SessionError('RUNNING', sessionInUse(id, holder), { cause });
  }
}

export function sessionInUse(id: string, holder: string): string {
  return `session ${id} is in use by ${holder}: stop it first (Ctrl-C there, or "session stop" if the service runs it)`;
}

export function stepsWithoutKeys(house: SessionHouse): Steps {
  return {
    prepare: (session) => prepare(house, session),
    clean: (session) => clean(house, session),
    async publish({ id }) {
      throw new SessionError('IMPOSSIBLE', `finish with "session keep ${id}" or discard it`);
    },
  };
}

function held(
  { world, store }: SessionHouse,
  record: SessionRecord,
  lock: AsyncDisposable,
): HeldSession {
  const journal = sessionJournal(world, store, record);
  return {
    get record() {
      return journal.record;
    },
    begin: journal.begin,
    settle: (place) => journal.change((before) => ({ ...before, ...place })),
    [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose](),
  };
}
