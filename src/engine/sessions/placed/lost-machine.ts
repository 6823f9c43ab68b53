import type { Order } from '../../../box/store-memory.ts';
import type { PlacedDebt } from '../../../formats/store/sessions/debt.ts';
import type { Placement } from '../../../formats/store/sessions/placement.ts';
import { readLost, writeLost } from '../../../sessions/placed/debts.ts';
import { SystemError } from '../../../sys/base/system-error.ts';
import type { Engine, WorkOptions } from '../../base/engine.ts';
import { owe } from './owed.ts';

/*
 * A session whose journal is damaged can only be discarded, and its machine on the hypervisor would be left: nothing
 * else says that it has one. So that is noted in another file before there is a machine.
 */

const lostOrder = ({ session, ...debt }: PlacedDebt): Order => ({
  ...{ kind: 'placed', name: session, order: debt },
});

/** Durable once resolved. A machine is run none the less if this cannot be written. */
export async function noteForLoss(
  { store, memory }: Engine,
  session: string,
  { placement, report }: { readonly placement: Placement } & Pick<WorkOptions, 'report'>,
): Promise<void> {
  const { hypervisor, plan } = placement;
  const debt: PlacedDebt = {
    ...{ session, hypervisor, since: store.clock.now().toISOString(), uuid: plan.uuid },
    ...{ machine: undefined, aside: plan.replaces?.machine, hasMoved: undefined },
  };
  try {
    await memory.remember([lostOrder(debt)]);
    await writeLost(store, debt);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const what = 'on which hypervisor its machine is could not be noted beside its journal';
    report({ event: 'notice', message: `${what}: ${cause.message}` });
  }
}

/** The machine of a session whose journal is damaged becomes a debt, or a person is told where it may be. */
export async function oweLost(
  engine: Engine,
  session: string,
  tell: (message: string) => void,
): Promise<void> {
  const { store, memory } = engine;
  if (!store.has('placed-session')) return;
  const debt = await readLost(store, session);
  if (debt && (await memory.look()).isOurs(lostOrder(debt))) {
    await owe(engine, { ...debt, since: store.clock.now().toISOString() });
    const { hypervisor, uuid } = debt;
    const what = `its machine on hypervisor ${hypervisor} (UUID ${uuid}) is removed there once that can be reached`;
    return tell(`its journal is damaged: ${what}, unless it has moved to disks of the hypervisor`);
  }
  const where = debt ? `hypervisor ${debt.hypervisor}` : 'a hypervisor';
  const how = `its definition there ("virsh dumpxml") has the text session="${session}" in its metadata`;
  tell(
    `its journal is damaged: if it had a machine on ${where}, that is left there. Look for it on ` +
      `${debt ? 'that hypervisor' : 'each of "holdfast hypervisor list"'}: ${how}. ` +
      'Remove that machine; one whose name was changed for it has the same text: give it its name back',
  );
}
