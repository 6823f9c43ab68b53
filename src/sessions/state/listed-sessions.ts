import { join } from 'node:path/posix';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Store } from '../../store/directory/store.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { SessionError } from './session-error.ts';
import { readJournal, sessionDirectory, sessionIds } from './session-files.ts';

export interface SessionStatus {
  readonly record: SessionRecord;
  readonly holder: string | undefined;
  /** Bytes that its overlays and files occupy on the disk. */
  readonly takenBytes: number;
}

export interface SessionListing {
  readonly sessions: readonly SessionStatus[];
  /** Unreadable journals, and why. */
  readonly damaged: readonly { readonly path: string; readonly reason: string }[];
}

/** A session that is discarded in the meantime is left out. */
export async function listSessions(store: Store): Promise<SessionListing> {
  const sessions: SessionStatus[] = [];
  const damaged: SessionListing['damaged'][number][] = [];
  for (const id of await sessionIds(store)) {
    try {
      sessions.push(await sessionStatus(store, id));
    } catch (cause) {
      if (!(cause instanceof SessionError) && !(cause instanceof SystemError)) throw cause;
      if (cause.code === 'NOT_FOUND') continue;
      damaged.push({ path: sessionDirectory(store, id), reason: cause.message });
    }
  }
  return { sessions, damaged };
}

/** Rejects NOT_FOUND. */
export async function sessionStatus(store: Store, id: string): Promise<SessionStatus> {
  const record = await findSession(store, id);
  const directory = sessionDirectory(store, id);
  let takenBytes = 0;
  for (const name of await store.files.list(directory)) {
    takenBytes += (await store.files.stat(join(directory, name)))?.allocated ?? 0;
  }
  return { record, holder: await holderOf(store, id), takenBytes };
}

/** The process that serves it now. */
export function holderOf(store: Store, id: string): Promise<string | undefined> {
  return store.files.lockHolder(join(sessionDirectory(store, id), 'lock'));
}

/** Rejects NOT_FOUND. */
export async function findSession(store: Store, id: string): Promise<SessionRecord> {
  const record = await readJournal(store, id);
  if (record) return record;
  throw new SessionError('NOT_FOUND', `there is no session "${id}": see "session list"`);
}
