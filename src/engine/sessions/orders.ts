import type { Order, StoreMemory } from '../../box/store-memory.ts';
import type { ServedRecord } from '../../formats/store/sessions/served.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';

/*
 * What of a session's records is an order: which disk is shown, where, and to whom; and that no overlay in plain text,
 * which anybody could have put there, lies below its sealed ones. The progress of a session is not an order, and
 * changes without a note in the box: so does a session whose overlays in plain text get sealed ones above them.
 */
export function sessionOrder(record: SessionRecord): Order {
  const { phase: _phase, keepAs: _keepAs, sealed, ...order } = record;
  const isSealed = (sealed && !sealed.overPlain) || undefined;
  return { kind: 'session', name: order.id, order: { ...order, isSealed } };
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

/**
 * A session is over, or (`served` alone) is not to run by itself any more: no record of that which is put back is
 * obeyed. Where that cannot be noted it is over all the same, on a full disk too: `tell` hears of it.
 */
export async function forgetSession(
  memory: StoreMemory,
  name: string,
  {
    kinds = ['session', 'served'],
    tell,
  }: {
    readonly kinds?: readonly ('session' | 'served')[];
    readonly tell: (message: string) => void;
  },
): Promise<void> {
  try {
    await memory.forget(kinds.map((kind) => ({ kind, name })));
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    tell(
      `this box cannot note that session ${name} is over: ${cause.message}. It is over, but if an ` +
        'old record of it were put back into the store, the box would obey it',
    );
  }
}
