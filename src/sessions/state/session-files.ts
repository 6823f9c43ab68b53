import { join } from 'node:path/posix';
import { isDeepStrictEqual } from 'node:util';
import { FormatError } from '../../formats/format-error.ts';
import { requireSum } from '../../formats/store/base/json-record.ts';
import {
  decodeSession,
  encodeSession,
  type SessionRecord,
} from '../../formats/store/sessions/session.ts';
import { turns } from '../../lib/mutex.ts';
import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { contentId } from '../../vfs/contents.ts';
import { SessionError } from './session-error.ts';

const JOURNAL = 'session.json';
/** Held while the session is removed. */
const LOCK = 'lock';
const JOURNAL_LENGTH_MAX = 1024 * 1024;
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$/;

export function isSessionId(text: string): boolean {
  return ID.test(text);
}

export function sessionDirectory(store: Store, id: string): string {
  if (!isSessionId(id)) throw new SessionError('NOT_FOUND', `"${id}" is not the name of a session`);
  return join(store.directory, 'sessions', id);
}

export async function writeJournal(store: Store, session: SessionRecord): Promise<void> {
  const { files } = store;
  const path = join(sessionDirectory(store, session.id), JOURNAL);
  await putDurably(files, path, journalOf(session));
}

/** The session's journal; one that could not be read again would lose the session. Throws CORRUPT. */
export function journalOf(session: SessionRecord): Uint8Array {
  const bytes = encodeSession(session);
  try {
    if (bytes.length > JOURNAL_LENGTH_MAX) {
      throw new FormatError('CORRUPT', `${bytes.length} bytes, more than ${JOURNAL_LENGTH_MAX}`);
    }
    decodeSession(bytes);
    return bytes;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const what = `the journal of session ${session.id} could not be read`;
    throw new SessionError('CORRUPT', `${what}, and is not written: ${cause.message}`, { cause });
  }
}

/** Undefined: there is no such session. Rejects CORRUPT. */
export async function readJournal(store: Store, id: string): Promise<SessionRecord | undefined> {
  const { files } = store;
  const path = join(sessionDirectory(store, id), JOURNAL);
  if (!(await files.stat(path))) return undefined;
  try {
    const bytes = await files.readFile(path, JOURNAL_LENGTH_MAX);
    const session = decodeSession(bytes);
    if (store.has('checked-records')) requireSum(bytes);
    // Under another ID it would be a second session on the files of the first.
    if (session.id === id) return session;
    throw new FormatError('CORRUPT', `record belongs to session "${session.id}"`);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new SessionError('CORRUPT', `${path}: ${cause.message}. ${restoreOrDiscard(id)}`, {
      cause,
    });
  }
}

/** Advice for a lost file without which a session cannot run. */
export function restoreOrDiscard(id: string): string {
  return `Put the file back from a copy of the store; if there is none, "session discard ${id}" ends the session`;
}

/** A session's journal, which several callers may change: one after the other, each sees the change before it. */
export interface SessionJournal {
  readonly record: SessionRecord;
  /** Durable once resolved. */
  change(step: (record: SessionRecord) => SessionRecord): Promise<void>;
  /** Records that the sealed log of a disk begins: from then on it has segments. */
  begin(disk: string): Promise<void>;
}

/** The journal of a session that the caller holds. */
export function sessionJournal(store: Store, record: SessionRecord): SessionJournal {
  const inTurn = turns();
  let current = record;
  const change: SessionJournal['change'] = (step) =>
    inTurn(async () => {
      const next = step(current);
      if (isDeepStrictEqual(next, current)) return;
      await writeJournal(store, next);
      current = next;
    });
  return {
    get record() {
      return current;
    },
    change,
    begin: (disk) => change((before) => withBegun(before, disk)),
  };
}

function withBegun(record: SessionRecord, disk: string): SessionRecord {
  const { sealed } = record;
  if (!sealed || sealed.begun.includes(disk)) return record;
  return { ...record, sealed: { ...sealed, begun: [...sealed.begun, disk] } };
}

/** The journal is removed last: after a crash the session still exists and can be removed with all its files. */
export async function removeSession(store: Store, id: string): Promise<void> {
  const { files } = store;
  await emptySession(store, id);
  await files.removeTree(sessionDirectory(store, id));
  await files.syncDirectory(join(store.directory, 'sessions'));
}

/**
 * Removes all but the journal. The heads and maps of the disks' overlays go first: without them the session is never
 * served again, whatever else a crash leaves.
 */
export async function emptySession(store: Store, id: string): Promise<void> {
  const { files } = store;
  const directory = sessionDirectory(store, id);
  const names = (await files.list(directory)).filter((name) => name !== JOURNAL && name !== LOCK);
  const isFirst = (name: string): boolean =>
    contentId(name) === undefined && (name.endsWith('.head') || name.endsWith('.map'));
  for (const name of [...names.filter(isFirst), ...names.filter((name) => !isFirst(name))]) {
    await files.unlink(join(directory, name));
  }
  await files.syncDirectory(directory);
}

/**
 * IDs of sessions, sorted. A crash while creating or removing one may leave a directory without a journal: it is
 * empty.
 */
export async function sessionIds(store: Store): Promise<string[]> {
  const { files } = store;
  const parent = join(store.directory, 'sessions');
  const found: string[] = [];
  for (const id of await files.list(parent)) {
    if (isSessionId(id) && (await files.stat(join(parent, id, JOURNAL)))) found.push(id);
  }
  return found;
}
