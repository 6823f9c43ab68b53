import type { SessionRecord } from '../formats/store/session.ts';
import { readJournal, sessionIds } from '../recovery/session-files.ts';
import { SessionError } from '../recovery/session-error.ts';
import type { House } from './house.ts';
import type { InheritedNfs } from './inherited-sockets.ts';

/**
 * Before sessions are resumed: from here on clients of all that the store has may connect, and wait. The answer
 * opens to them, once what can be resumed is there; those whose session is not go on waiting.
 */
export async function holdNfs(
  house: House,
  sockets: InheritedNfs | undefined,
): Promise<() => void> {
  const sessions = await nfsSessions(house);
  if (!sockets && sessions.length === 0) return () => {};
  const server = await house.nfs();
  for (const session of sessions) server.expect(session);
  await server.hold(sockets);
  return () => server.answer();
}

async function nfsSessions({ world, store }: House): Promise<SessionRecord[]> {
  const found: SessionRecord[] = [];
  for (const id of await sessionIds(world, store)) {
    try {
      const session = await readJournal(world, store, id);
      if (session?.nfs) found.push(session);
    } catch (cause) {
      // One that is damaged cannot be resumed either, which is told there.
      if (!(cause instanceof SessionError)) throw cause;
    }
  }
  return found;
}
