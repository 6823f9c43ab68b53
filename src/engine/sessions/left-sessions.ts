import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { sweepSession } from '../../sessions/state/held-session.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { isSessionId, readJournal } from '../../sessions/state/session-files.ts';
import { isServed } from '../../sessions/state/served-sessions.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Engine } from '../base/engine.ts';
import { forgetSession, sessionOrder } from './orders.ts';
import { discard } from './run-session.ts';
import type { OnEvent, SessionEnd } from './session-events.ts';

/*
 * A killed service may leave sessions that do not end by themselves: one for which no machine was planned yet, one that
 * was almost removed, and a directory without a journal. The next start removes them. All others go on (resumption.ts),
 * or wait for people. The box must know the record as its own: else a planted one could have a session removed.
 */
export async function removeLeft(engine: Engine, onEvent: OnEvent): Promise<void> {
  const { store, memory } = engine;
  for (const id of await store.files.list(join(store.directory, 'sessions'))) {
    if (!isSessionId(id)) continue;
    const tell = (message: string): void => onEvent({ kind: 'notice', session: id, message });
    try {
      const record = await readJournal(store, id);
      if (!record) {
        if (await sweepSession(store, id)) await forgetSession(memory, id, { tell });
        continue;
      }
      const left = await leftOf(engine, record);
      if (!left || !(await memory.look()).isOurs(sessionOrder(record))) continue;
      await discard(engine, id, tell);
      tell(left.message);
      onEvent({ kind: 'ended', session: id, how: left.how });
    } catch (cause) {
      if (!isWorldly(cause)) throw cause;
      // Held by another process, or damaged: people see it in the list of sessions.
      if (cause instanceof SessionError) continue;
      tell(`what a killed service has left of it could not be removed: ${cause.message}`);
    }
  }
}

const isWorldly = (cause: unknown): cause is Error =>
  cause instanceof SystemError || cause instanceof SessionError || cause instanceof FormatError;

interface Left {
  readonly how: SessionEnd;
  readonly message: string;
}

/** Undefined: it is not removed here. */
async function leftOf({ store }: Engine, record: SessionRecord): Promise<Left | undefined> {
  const { id, phase, point, runsOn, placement } = record;
  const isUnplaced = phase === 'preparing' || phase === 'ready' || phase === 'cleaning';
  if (runsOn !== undefined && isUnplaced) {
    const what = `the service ended before the machine of this session was planned on hypervisor ${runsOn}`;
    const done = 'nothing of it was made there, and the session was removed';
    const advice = `To run it: "holdfast run ${point} --on ${runsOn}"`;
    return { how: 'discarded', message: `${what}: ${done}. ${advice}` };
  }
  // Otherwise it is resumed, and ends then.
  if (!placement || phase !== 'cleaning' || (await isServed(store, id))) return undefined;
  const how = record.keepAs ? 'kept' : placement.goal === 'move' ? 'moved' : 'discarded';
  return { how, message: 'the service ended while the session was removed: the rest was removed' };
}
