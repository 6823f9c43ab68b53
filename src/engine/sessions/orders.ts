import type { Order, StoreMemory } from '../../box/store-memory.ts';
import type { ServedRecord } from '../../formats/store/sessions/served.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';

/*
 * The parts of a session's records that are an order: which disk is shown, where, and to whom; that no plain text
 * overlay, which anyone could have put there, lies below its sealed ones; and on which hypervisor it has which machine.
 * A session's progress is not an order, and changes without a record in the box: so does adding sealed overlays above
 * plain text ones.
 */
export function sessionOrder(record: SessionRecord): Order {
  const { phase: _phase, keepAs: _keepAs, sealed, placement, ...order } = record;
  const isSealed = (sealed && !sealed.overPlain) || undefined;
  const placed = placement && { hypervisor: placement.hypervisor, plan: placement.plan };
  return { kind: 'session', name: order.id, order: { ...order, isSealed, placed } };
}

export function servedOrder(session: string, { tls }: ServedRecord): Order {
  return { kind: 'served', name: session, order: { session, tls } };
}

/** Rejects IMPOSSIBLE if this box did not start the session as its record says. */
export async function requireOwnSession(memory: StoreMemory, record: SessionRecord): Promise<void> {
  if ((await memory.look()).isOurs(sessionOrder(record))) return;
  throw new SessionError(
    'IMPOSSIBLE',
    `session ${record.id} is not adopted: its record was not written by this box, or was altered. See ` +
      'what it would do, and decide: "holdfast store adopt"',
  );
}

/**
 * A session is over, or (`served` alone) no longer starts automatically: old records of it that are put back must not
 * be obeyed. If that cannot be recorded it is over nevertheless, also on a full disk, and `tell` reports it.
 */
export async function forgetSession(
  memory: StoreMemory,
  name: string,
  {
    kinds = ['session', 'served', 'placed'],
    tell,
  }: {
    readonly kinds?: readonly ('session' | 'served' | 'placed')[];
    readonly tell: (message: string) => void;
  },
): Promise<void> {
  try {
    await memory.forget(kinds.map((kind) => ({ kind, name })));
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    tell(
      `this box cannot record that session ${name} has ended: ${cause.message}. It has ended, but if an old` +
        ' record of it were put back into the store, the box would obey it',
    );
  }
}
