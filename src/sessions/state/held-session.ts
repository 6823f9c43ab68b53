import { join } from 'node:path/posix';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { NfsPlace, SessionRecord, WhenFull } from '../../formats/store/sessions/session.ts';
import { refuseLinks } from '../../store/directory/own-directories.ts';
import type { Store } from '../../store/directory/store.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { SessionError } from './session-error.ts';
import { findSession } from './listed-sessions.ts';
import { advance, type Steps } from './session-executor.ts';
import {
  emptySession,
  journalOf,
  type SessionJournal,
  sessionDirectory,
  sessionJournal,
  writeJournal,
} from './session-files.ts';
import { isServable } from './session-state.ts';
import { openSocket } from './session-sockets.ts';
import { sealSession } from './session-overlays.ts';
import { clean, mendLease, prepare, sessionDisks } from './session-steps.ts';

/** A session that this process holds: no other process serves or changes it. */
export interface HeldSession extends AsyncDisposable {
  /** Its current record. */
  readonly record: SessionRecord;
  /** Records in its journal that the sealed log of this disk has begun. */
  begin(disk: string): Promise<void>;
  /** Durable once resolved. */
  readonly change: SessionJournal['change'];
}

export interface NewSession {
  /** The address for its disks; undefined: a socket of its own. */
  readonly listen: string | undefined;
  /** The directory of that socket; undefined: the session's directory, which no other user can enter. */
  readonly sockets?: string | undefined;
  readonly tls: boolean;
  readonly nfs: NfsPlace | undefined;
  readonly whenFull: WhenFull;
  /** The hypervisor on which a machine is to run from it. */
  readonly runsOn?: string | undefined;
  /** Before anything of it is made. */
  readonly onRecord?: (record: SessionRecord) => Promise<void>;
}

const ID_RANDOM_LENGTH = 3;

/** Creates a session of a recovery point, ready to be served. */
export async function startSession(
  store: Store,
  point: PointRecord,
  { listen, sockets, tls, nfs, whenFull, runsOn, onRecord }: NewSession,
): Promise<HeldSession> {
  const tail = Buffer.from(store.random.bytes(ID_RANDOM_LENGTH)).toString('hex');
  const id = `${point.machine}-${tail}`;
  const directory = sessionDirectory(store, id);
  const record: SessionRecord = {
    id,
    created: store.clock.now().toISOString(),
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
    placement: undefined,
    ...(runsOn !== undefined && { runsOn }),
  };
  // Its names become paths: before anything is made.
  journalOf(record);
  if (record.disks.length === 0) {
    throw new SessionError('UNSUPPORTED', `${point.id} has no disks: there is nothing to run`);
  }
  await refuseLinks(store);
  await onRecord?.(record);
  await store.files.makeDirectory(directory);
  const lock = await holdSession(store, id);
  try {
    await writeJournal(store, record);
    return held(store, (await advance(store, record, undefined, stepsWithoutKeys(store)))!, lock);
  } catch (cause) {
    await lock[Symbol.asyncDispose]();
    throw cause;
  }
}

/**
 * Takes over a session that was stopped, or whose process died. A session that was open only to TLS clients stays so:
 * IMPOSSIBLE without `tls`. Rejects RUNNING, NOT_FOUND.
 */
export async function resumeSession(
  store: Store,
  id: string,
  { tls }: { readonly tls: boolean },
): Promise<HeldSession> {
  const { record, lock } = await holdFound(store, id);
  try {
    if (record.phase !== 'preparing' && !isServable(record)) {
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
    if (isServable(record)) await mendLease(store, record);
    const ready = (await advance(store, record, undefined, stepsWithoutKeys(store)))!;
    return held(store, await sealSession(store, ready), lock);
  } catch (cause) {
    await lock[Symbol.asyncDispose]();
    throw cause;
  }
}

/** Changes the journal of a session, if it is there and undamaged. Rejects RUNNING. */
export async function changeStopped(
  store: Store,
  id: string,
  step: (record: SessionRecord) => SessionRecord,
): Promise<void> {
  try {
    const { record, lock } = await holdFound(store, id);
    await using _lock = lock;
    await sessionJournal(store, record).change(step);
  } catch (cause) {
    if (!(cause instanceof SessionError) || cause.code === 'RUNNING') throw cause;
  }
}

/**
 * Deletes what the session wrote; works on a full disk and without its journal. Rejects RUNNING, NOT_FOUND. `onLost`:
 * before anything is deleted of a session whose journal is damaged.
 */
export async function discardSession(
  store: Store,
  id: string,
  onLost?: () => Promise<void>,
): Promise<void> {
  if (await isJournalDamaged(store, id)) {
    await refuseLinks(store);
    await using _lock = await holdSession(store, id);
    await onLost?.();
    return clean(store, { id });
  }
  const { record, lock } = await holdFound(store, id);
  await using _lock = lock;
  await discardHeld(store, record);
}

/** The same for a session that the caller holds. */
export async function discardHeld(store: Store, record: SessionRecord): Promise<void> {
  try {
    await advance(store, record, { kind: 'discard' }, stepsWithoutKeys(store));
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'NO_SPACE') throw cause;
    // A full disk has no room for the journal. Once the overlays are gone it is not needed: the session can then only
    // be discarded.
    await emptySession(store, record.id);
    await clean(store, record);
  }
}

/** Removes a directory that a crash left without a journal; returns whether there was one. Rejects RUNNING. */
export async function sweepSession(store: Store, id: string): Promise<boolean> {
  const directory = sessionDirectory(store, id);
  const { files } = store;
  if ((await files.stat(directory))?.kind !== 'directory') return false;
  await refuseLinks(store);
  await using _lock = await holdSession(store, id);
  // Anything else has lost its journal, and is for people to look at.
  const isLost = (name: string): boolean => name !== 'lock' && !name.endsWith('.tmp');
  if ((await files.list(directory)).some(isLost)) return false;
  await files.removeTree(directory);
  await files.syncDirectory(join(store.directory, 'sessions'));
  return true;
}

async function isJournalDamaged(store: Store, id: string): Promise<boolean> {
  try {
    await findSession(store, id);
    return false;
  } catch (cause) {
    if (!(cause instanceof SessionError) || cause.code !== 'CORRUPT') throw cause;
    return true;
  }
}

/** The session as it is, read after no other process can change it. */
export async function holdFound(
  store: Store,
  id: string,
): Promise<{ readonly record: SessionRecord; readonly lock: AsyncDisposable }> {
  await findSession(store, id);
  await refuseLinks(store);
  const lock = await holdSession(store, id);
  try {
    return { record: await findSession(store, id), lock };
  } catch (cause) {
    await lock[Symbol.asyncDispose]();
    throw cause;
  }
}

async function holdSession(store: Store, id: string): Promise<AsyncDisposable> {
  const path = join(sessionDirectory(store, id), 'lock');
  try {
    return await store.files.lock(path, 'holdfast');
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'BUSY') throw cause;
    const holder = (await store.files.lockHolder(path)) ?? 'another process';
    throw new SessionError('RUNNING', sessionInUse(id, holder), { cause });
  }
}

export function sessionInUse(id: string, holder: string): string {
  return `session ${id} is in use by ${holder}: stop it first (Ctrl-C there, or "session stop" if the service runs it)`;
}

export function stepsWithoutKeys(store: Store): Steps {
  return {
    prepare: (session) => prepare(store, session),
    clean: (session) => clean(store, session),
    async publish({ id }) {
      throw new SessionError('IMPOSSIBLE', `finish with "session keep ${id}" or discard it`);
    },
  };
}

function held(store: Store, record: SessionRecord, lock: AsyncDisposable): HeldSession {
  const journal = sessionJournal(store, record);
  return {
    get record() {
      return journal.record;
    },
    begin: (disk) => journal.begin(disk),
    change: (step) => journal.change(step),
    [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose](),
  };
}
