import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { readJournal, sessionIds } from '../../sessions/state/session-files.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { kindOfFailure } from '../base/failures.ts';
import type { House } from '../base/engine.ts';
import type { InheritedNfs } from './inherited-sockets.ts';
import { sessionOrder } from './orders.ts';

/**
 * Before sessions are resumed: from here on clients of all that this box runs may connect, and wait. The answer
 * opens to them, once what can be resumed is there; those whose session is not go on waiting.
 */
export async function holdNfs(
  house: House,
  sockets: InheritedNfs | undefined,
): Promise<() => void> {
  const sessions = await nfsSessions(house);
  if (!sockets && sessions.length === 0) return () => {};
  const server = await house.nfs();
  for (const session of sessions) {
    try {
      server.expect(session);
    } catch (cause) {
      // Its networks make no sense: it is not resumed either, and the reason is reported there.
      if (kindOfFailure(cause) === undefined) throw cause;
    }
  }
  await server.hold(sockets);
  return () => server.answer();
}

/** Sessions that this box did not order are not even looked for: see adoption.ts. */
async function nfsSessions({ store, memory }: House): Promise<SessionRecord[]> {
  const { isOurs } = await memory.look();
  const found: SessionRecord[] = [];
  for (const id of await sessionIds(store)) {
    try {
      const session = await readJournal(store, id);
      if (session?.nfs && isOurs(sessionOrder(session))) found.push(session);
    } catch (cause) {
      // One that is damaged cannot be resumed either, which is told there.
      if (!(cause instanceof SessionError)) throw cause;
    }
  }
  return found;
}
