import { readServed, servedSessions, unmarkServed } from '../../sessions/state/served-sessions.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Engine } from '../base/engine.ts';
import { forgetSession, servedOrder } from './orders.ts';
import type { RecoverRequest } from './run-session.ts';
import type { OnEvent } from './session-events.ts';

/* Which sessions the service runs, and resumes when it starts: durably, and known to the box. */

/** Sessions that this box itself started; others in the store wait for a person: see adoption.ts. */
export async function ownServed(engine: Engine): Promise<string[]> {
  const { isOurs } = await engine.memory.look();
  const found: string[] = [];
  for (const id of await servedSessions(engine.store)) {
    try {
      if (isOurs(servedOrder(id, await readServed(engine.store, id)))) found.push(id);
    } catch (cause) {
      if (!(cause instanceof SessionError || cause instanceof SystemError)) throw cause;
      // It should run, as far as the box knows: the reason why it cannot is reported when it is resumed.
      found.push(id);
    }
  }
  return found;
}

/** A session that cannot be recorded runs nevertheless, until the next start of the service. */
export async function rememberServed(
  { memory }: Engine,
  session: string,
  tls: RecoverRequest['tls'],
  onEvent: OnEvent,
): Promise<void> {
  try {
    await memory.settle([servedOrder(session, { tls })]);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const message = `this box cannot record that it runs the session: ${cause.message}`;
    onEvent({ kind: 'notice', session, message });
  }
}

/** Ensures that the next start does not resume it. */
export async function unserve(engine: Engine, session: string, onEvent: OnEvent): Promise<void> {
  await unmarkServed(engine.store, session);
  const tell = (message: string): void => onEvent({ kind: 'notice', session, message });
  await forgetSession(engine.memory, session, { kinds: ['served'], tell });
}
