import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Store } from '../../store/directory/store.ts';
import { writeJournal } from './session-files.ts';
import { next, type SessionEvent, type Step, stepOf } from './session-state.ts';

export type Steps = Readonly<
  Record<Exclude<Step, undefined>, (session: SessionRecord) => Promise<void>>
>;

/**
 * Applies `event` to the session, if there is one, and carries out the steps that follow, until the session waits for
 * people again or is gone (undefined). The journal is written before each step.
 */
export async function advance(
  store: Store,
  session: SessionRecord,
  event: SessionEvent | undefined,
  steps: Steps,
): Promise<SessionRecord | undefined> {
  let current: SessionRecord | undefined = session;
  async function move(event: SessionEvent): Promise<void> {
    const after = next(current!, event);
    if (after && after !== current) await writeJournal(store, after);
    current = after;
  }
  if (event) await move(event);
  while (current) {
    const step = stepOf(current);
    if (!step) break;
    await steps[step](current);
    await move({ kind: 'done' });
  }
  return current;
}
