import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { PlannedFile, RunPlan, ServedDisk } from '../../hypervisors/base/run-driver.ts';
import type { MachineDescription } from '../../formats/store/catalog/machine.ts';

/** A plan as drivers take it: what the journal says, with what the recovery point and the exports say. */
export function runPlanOf(
  { id, placement }: Pick<SessionRecord, 'id' | 'placement'>,
  parts: {
    readonly machine: MachineDescription;
    readonly files: readonly PlannedFile[];
    readonly disks: readonly ServedDisk[];
  },
): RunPlan {
  if (!placement) throw new Error(`session ${id} has no machine on a hypervisor`);
  const { name, uuid, networks, autostart, writes } = placement.plan;
  const { pool } = placement;
  return { session: id, name, uuid, networks, autostart, pool, writes, ...parts };
}
