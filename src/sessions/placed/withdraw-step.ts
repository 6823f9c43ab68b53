import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { Look } from '../../hypervisors/base/run-driver.ts';
import {
  AGAIN,
  DONE,
  endAside,
  endCopies,
  IDLE_POLL_MS,
  placementOf,
  type StepContext,
  stop,
} from './placed-steps.ts';
import type { StepResult } from './placed-world.ts';

/** The machine is gone, and the hypervisor as it was before. */
export async function withdraw(context: StepContext): Promise<StepResult> {
  const { world, driver, machine, look, signal } = context;
  const { record } = world.journal;
  const { id } = record;
  if (await endCopies(context)) return AGAIN;
  if (look.isThere && look.covered.length > 0 && placementOf(record).goal === 'keep') {
    return { kind: 'wait', reason: 'person', message: notHere(look), ms: IDLE_POLL_MS };
  }
  if (look.isThere && look.power !== 'off') return stop(context, placementOf(record).stop);
  if (look.isThere) {
    await driver.unregister(machine!, signal);
    world.shown.log('removed its machine from the hypervisor');
    return AGAIN;
  }
  await removeFiles(context);
  await driver.hide(id, signal);
  await endAside(context, (aside) => driver.putBack(aside, id, signal));
  await driver.release(id, signal);
  await world.own.endExports();
  return DONE;
}

/** A snapshot that was made there takes all that is written from then on. */
function notHere({ name, covered }: Extract<Look, { isThere: true }>): string {
  return (
    `its machine ${name} has a snapshot over its disk ${covered.join(', ')}, and what it has written since then is ` +
    'on the hypervisor alone: commit the snapshot there ("virsh blockcommit MACHINE DISK --active --pivot", while ' +
    'the machine runs), then "holdfast session retry"; or discard the session'
  );
}

/** Files that were placed for a machine that is gone, or was never defined. */
async function removeFiles({ world, driver, machine, signal }: StepContext): Promise<void> {
  const { id: session, ...record } = world.journal.record;
  const { uuid } = placementOf({ id: session, ...record }).plan;
  try {
    await driver.unregister(machine ?? { id: uuid, session }, signal);
  } catch (cause) {
    // The machine that prevented ours from being defined.
    if (machine || !(cause instanceof HypervisorError) || cause.code !== 'CONFLICT') throw cause;
  }
}
