import type { RestoreRecord } from '../../formats/store/service/restore.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { RestoreHost } from './restore-host.ts';

/*
 * What a restore has left whose process died, or that failed: all that carries its ID is removed, unless the restore
 * was complete. The hypervisor's word decides, not how far the process says that it was.
 */

/** A machine, and a disk of it, that a restore has made: it was complete. */
export interface Made {
  readonly machine: string;
  /** By which the machine knows the disk. */
  readonly disk: string;
}

/** Undefined: nothing is left of it. May be repeated. Rejects HypervisorError. */
export async function settleRestore(
  to: RestoreHost,
  record: RestoreRecord,
  signal: AbortSignal,
): Promise<Made | undefined> {
  const { run, restore } = to;
  const { id: session, uuid, aside } = record;
  const made = await madeBy(to, record, signal);
  if (made) {
    if (aside !== undefined) await run.leaveAside(aside, session, signal);
    return made;
  }
  await restore.withdraw({ session, uuid }, signal);
  if (aside !== undefined) {
    try {
      await run.putBack(aside, session, signal);
    } catch (cause) {
      // It has been removed in the meantime.
      if (!(cause instanceof HypervisorError) || cause.code !== 'NOT_FOUND') throw cause;
    }
  }
  return undefined;
}

/** A machine of that UUID can be another's: only its disks say that it is ours. */
async function madeBy(
  { host }: RestoreHost,
  { machine, disks = [] }: RestoreRecord,
  signal: AbortSignal,
): Promise<Made | undefined> {
  const machines = machine === undefined ? [] : await host.machines(signal);
  if (!machines.some(({ id }) => id === machine)) return undefined;
  const described = (await host.describe(machine!, signal)).machine;
  const found = described.disks.find(({ source = '' }) => disks.includes(source));
  return found && { machine: machine!, disk: found.name };
}
