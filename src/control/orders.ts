import type { Order, StoreMemory } from '../box/store-memory.ts';
import type { ServedRecord } from '../formats/store/served.ts';
import type { SessionRecord } from '../formats/store/session.ts';
import { SessionError } from '../recovery/session-error.ts';

/*
 * What of a session's records is an order: which disk is shown, where, and to whom. How far a session has come is
 * none, and changes without the box hearing of it.
 */
export function sessionOrder({ phase: _phase, keepAs: _keepAs, ...order }: SessionRecord): Order {
  return { kind: 'session', name: order.id, order };
}

export function servedOrder(session: string, { tls }: ServedRecord): Order {
  return { kind: 'served', name: session, order: { session, tls } };
}

/** Rejects IMPOSSIBLE where this box has not started the session as its record says. */
export async function requireOwnSession(memory: StoreMemory, record: SessionRecord): Promise<void> {
  if ((await memory.look()).isOurs(sessionOrder(record))) return;
  throw new SessionError(
    'IMPOSSIBLE',
    `session ${record.id} is not adopted: its record was not made by this box, or was altered. ` +
      'See what it would do, and decide: "holdfast store adopt"',
  );
}

/** A session that has ended: no record of it that is put back is obeyed. */
export function forgetSession(memory: StoreMemory, name: string): Promise<void> {
  return memory.forget([
    { kind: 'session', name },
    { kind: 'served', name },
  ]);
}
