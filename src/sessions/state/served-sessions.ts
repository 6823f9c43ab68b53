import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import { requireSum } from '../../formats/store/base/json-record.ts';
import {
  decodeServed,
  encodeServed,
  type ServedRecord,
} from '../../formats/store/sessions/served.ts';
import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { SessionError } from './session-error.ts';
import { sessionDirectory, sessionIds } from './session-files.ts';

/*
 * Records which sessions the service runs: in the session's own directory, so that the record goes with the session.
 */
const NAME = 'served.json';
const LENGTH_MAX = 64 * 1024;

/** From now on every start of the service resumes the session. */
export async function markServed(store: Store, id: string, served: ServedRecord): Promise<void> {
  await putDurably(store.files, join(sessionDirectory(store, id), NAME), encodeServed(served));
}

export async function unmarkServed(store: Store, id: string): Promise<void> {
  const directory = sessionDirectory(store, id);
  if (!(await isServed(store, id))) return;
  await store.files.unlink(join(directory, NAME));
  await store.files.syncDirectory(directory);
}

/** Whether the next start of the service resumes the session. */
export async function isServed(store: Store, id: string): Promise<boolean> {
  return (await store.files.stat(join(sessionDirectory(store, id), NAME))) !== undefined;
}

/** IDs of the sessions that will be resumed, sorted. */
export async function servedSessions(store: Store): Promise<string[]> {
  const found: string[] = [];
  for (const id of await sessionIds(store)) {
    if (await isServed(store, id)) found.push(id);
  }
  return found;
}

/** Rejects CORRUPT; NOT_FOUND if the session is not served. */
export async function readServed(store: Store, id: string): Promise<ServedRecord> {
  const path = join(sessionDirectory(store, id), NAME);
  try {
    const bytes = await store.files.readFile(path, LENGTH_MAX);
    const served = decodeServed(bytes);
    if (store.has('checked-records')) requireSum(bytes);
    return served;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new SessionError('CORRUPT', `${path}: ${cause.message}`, { cause });
  }
}
