import { ownHypervisorFiles } from '../../box/hypervisor-files.ts';
import { realWorld } from '../../sys/world.ts';
import { DRIVERS } from './drivers.ts';
import type { Hypervisors } from './hypervisors.ts';
import { runSsh } from './ssh-keys.ts';

/** Those that this process knows: the service's, or those of its user. */
export async function ownHypervisors(): Promise<Hypervisors> {
  const world = realWorld();
  return { world, files: ownHypervisorFiles(world), drivers: DRIVERS, run: runSsh };
}
