import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { readJournal, sessionIds } from '../../sessions/state/session-files.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { kindOfFailure } from '../base/failures.ts';
import type { Engine } from '../base/engine.ts';
import type { InheritedNfs } from './inherited-sockets.ts';
import { sessionOrder } from './orders.ts';

/**
 * Called before sessions are resumed: from now on clients of all sessions that this box runs may connect, and wait.
 * The returned function serves them, once the sessions are resumed; clients of others keep waiting.
 */
export async function holdNfs(
  engine: Engine,
  sockets: InheritedNfs | undefined,
): Promise<() => void> {
  const sessions = await nfsSessions(engine);
  if (!sockets && sessions.length === 0) return () => {};
  const server = await engine.nfs();
  for (const session of sessions) {
    try {
      server.expect(session);
    } catch (cause) {
      // Its networks are invalid: it is not resumed either, and the reason is reported there.
      if (kindOfFailure(cause) === undefined) throw cause;
    }
  }
  await server.hold(sockets);
  return () => server.answer();
}

/** Excludes sessions that this box did not order: see adoption.ts. */
async function nfsSessions({ store, memory }: Engine): Promise<SessionRecord[]> {
  const { isOurs } = await memory.look();
  const found: SessionRecord[] = [];
  for (const id of await sessionIds(store)) {
    try {
      const session = await readJournal(store, id);
      if (session?.nfs && isOurs(sessionOrder(session))) found.push(session);
    } catch (cause) {
      // A damaged one cannot be resumed either, which is reported there.
      if (!(cause instanceof SessionError)) throw cause;
    }
  }
  return found;
}
