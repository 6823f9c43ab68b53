import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { HeldSession } from '../../sessions/state/held-session.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Engine, WorkOptions } from '../base/engine.ts';
import { sessionOrder } from './orders.ts';

/* Sessions are recorded in the box as orders. One that cannot be recorded runs nevertheless: a recovery must not wait
 * for the disk of the box. */

/** From now on the box knows a session of which no record is in the store yet. */
export async function announce(
  { memory }: Engine,
  record: SessionRecord,
  report: WorkOptions['report'],
): Promise<void> {
  const problem = await problemOf(memory.remember([sessionOrder(record)]));
  if (problem) tell(problem, report);
}

/** Changes its journal, and what the box knows of it. */
export async function settle(
  { memory }: Engine,
  session: HeldSession,
  {
    change,
    report,
  }: { readonly change: Partial<SessionRecord>; readonly report: WorkOptions['report'] },
): Promise<void> {
  const changed = (record: SessionRecord): SessionRecord => ({ ...record, ...change });
  const orders = [sessionOrder(changed(session.record))];
  let problem = await problemOf(memory.remember(orders));
  await session.change(changed);
  problem ??= await problemOf(memory.settle(orders));
  if (problem) tell(problem, report);
}

async function problemOf(work: Promise<void>): Promise<SystemError | undefined> {
  try {
    await work;
    return undefined;
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return cause;
  }
}

function tell({ message: why }: SystemError, report: WorkOptions['report']): void {
  const message = `this box cannot record the session, which must be adopted before it is resumed: ${why}`;
  report({ event: 'notice', message });
}
