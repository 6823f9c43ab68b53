import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import { AGAIN, changePlacement, DONE, placementOf, type StepContext } from './placed-steps.ts';
import type { StepResult } from './placed-world.ts';

/** The machine is the hypervisor's own. */
export async function settle(context: StepContext): Promise<StepResult> {
  const { world, driver, machine, look, signal } = context;
  // Its mark is removed last: nothing is left to do.
  if (look.isThere && look.session === undefined) return DONE;
  const { plan, offline } = placementOf(world.journal.record);
  if (offline?.start === true && look.isThere && look.power === 'off') {
    await startAgain(context);
    return AGAIN;
  }
  await driver.settle(machine!, plan, signal);
  world.shown.log('its machine now belongs to the hypervisor alone');
  return AGAIN;
}

/** Its disks moved while it was off. That it cannot be started keeps nothing from its end. */
async function startAgain({ world, driver, machine, signal }: StepContext): Promise<void> {
  try {
    await driver.start(machine!, signal);
    world.shown.log('started its machine');
  } catch (cause) {
    const mayPass =
      cause instanceof HypervisorError && (cause.code === 'UNREACHABLE' || cause.code === 'BUSY');
    if (mayPass || !(cause instanceof HypervisorError)) throw cause;
    world.shown.log(`its machine is not started: ${cause.message}. Start it on the hypervisor`);
  }
  await changePlacement(world, { offline: { start: false, stop: undefined } });
}
