import type { Store } from '../../store/directory/store.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { isServed, markServed, readServed } from '../state/served-sessions.ts';
import { SessionError } from '../state/session-error.ts';
import { writeJournal } from '../state/session-files.ts';
import { holdFound } from '../state/held-session.ts';

/**
 * For `checked-records`: rewrites a session's records with checksums. Damaged records stay as they are. Rejects
 * RUNNING if a process serves the session.
 */
export async function checkSession(store: Store, id: string): Promise<void> {
  try {
    const { record, lock } = await holdFound(store, id);
    await using _lock = lock;
    await writeJournal(store, record);
    if (await isServed(store, id)) await markServed(store, id, await readServed(store, id));
  } catch (cause) {
    if (cause instanceof SessionError && cause.code === 'CORRUPT') return;
    if (cause instanceof SystemError && cause.code === 'NOT_FOUND') return;
    throw cause;
  }
}
