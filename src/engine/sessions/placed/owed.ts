import type { Order } from '../../../box/store-memory.ts';
import type { PlacedDebt } from '../../../formats/store/sessions/debt.ts';
import { isAway } from '../../../hypervisors/base/hypervisor-error.ts';
import { asError } from '../../../lib/as-error.ts';
import { collectDebt, forgiveDebt, listDebts, writeDebt } from '../../../sessions/placed/debts.ts';
import { type Ticker, ticker } from '../../../sys/base/ticker.ts';
import type { Engine } from '../../base/engine.ts';
import { kindOfFailure } from '../../base/failures.ts';
import type { Connections } from './connections.ts';

/*
 * What sessions that were given up have left on hypervisors is removed there once these can be reached. The box obeys
 * only debts that it wrote itself: a planted one could name the machine of a session that runs.
 */

const debtOrder = ({ session, ...debt }: PlacedDebt): Order => ({
  kind: 'debt',
  name: session,
  order: debt,
});

/** Durable once resolved. */
export async function owe({ store, memory }: Engine, debt: PlacedDebt): Promise<void> {
  await memory.remember([debtOrder(debt)]);
  await writeDebt(store, debt);
}

/** A debt that is still there, and why. */
export interface Owed {
  readonly debt: PlacedDebt;
  readonly why: string;
  /** Whether a person has to do something on the hypervisor. */
  readonly needsPerson: boolean;
}

export interface DebtCollector extends Ticker {
  /** As it was found last. */
  owed(): readonly Owed[];
  /** What is left there stays. Does nothing if nothing is owed. */
  forgive(session: string): Promise<void>;
}

const TRY_EVERY_MS = 60_000;
const NOTHING_MS = 24 * 60 * 60_000;

export function collectDebts(
  engine: Engine,
  {
    connections,
    signal,
    tell,
  }: {
    readonly connections: Connections;
    readonly signal: AbortSignal;
    /** What is known of a debt that cannot be read, once. */
    readonly tell: (session: string, message: string) => void;
  },
): DebtCollector {
  let left: readonly Owed[] = [];
  const damaged = new Set<string>();
  /** While they are tried once more, these are over. */
  const forgiven = new Set<string>();

  /** Undefined: it is paid. */
  async function collect(debt: PlacedDebt): Promise<Owed | undefined> {
    try {
      const connection = await connections.open(debt.hypervisor, signal);
      try {
        await collectDebt(connection.run, debt, signal);
      } catch (cause) {
        if (isAway(cause)) await connections.lost(connection);
        throw cause;
      }
      await forgive(debt.session);
      return undefined;
    } catch (cause) {
      if (signal.aborted) return { debt, why: 'the service stops', needsPerson: false };
      if (kindOfFailure(cause) === undefined) throw cause;
      return { debt, why: asError(cause).message, needsPerson: !isAway(cause) };
    }
  }
  async function forgive(session: string): Promise<void> {
    await forgiveDebt(engine.store, session);
    await engine.memory.forget([{ kind: 'debt', name: session }]);
  }
  function onDamaged(session: string, why: string): void {
    if (damaged.has(session)) return;
    damaged.add(session);
    const what = `what session ${session}, which was given up, has left on its hypervisor cannot be read`;
    tell(session, `${what} (${why}): look for its machine there, and remove that by hand`);
  }
  async function look(): Promise<number> {
    const { isOurs } = await engine.memory.look();
    const found: Owed[] = [];
    for (const debt of await listDebts(engine.store, onDamaged)) {
      if (!isOurs(debtOrder(debt))) continue;
      const owed = await collect(debt);
      if (owed) found.push(owed);
    }
    left = found.filter(({ debt }) => !forgiven.has(debt.session));
    return left.length > 0 ? TRY_EVERY_MS : NOTHING_MS;
  }
  const ticks = ticker(engine.store.clock, async () => {
    try {
      return await look();
    } catch (cause) {
      if (kindOfFailure(cause) === undefined) throw cause;
      return TRY_EVERY_MS;
    }
  });
  return {
    owed: () => left,
    async forgive(session) {
      forgiven.add(session);
      await forgive(session);
      left = left.filter(({ debt }) => debt.session !== session);
    },
    start: () => ticks.start(),
    wake: () => ticks.wake(),
    [Symbol.asyncDispose]: () => ticks[Symbol.asyncDispose](),
  };
}
