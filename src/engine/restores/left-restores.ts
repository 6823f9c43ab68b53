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
  /** By which the machine knows the disk; undefined: it has another in its place, or over it. */
  readonly disk: string | undefined;
}

export interface Settled {
  /** Undefined: there is no such machine. */
  readonly made: Made | undefined;
  /** What it had made was removed. */
  readonly isRemoved: boolean;
}

/** May be repeated. Rejects HypervisorError. */
export async function settleRestore(
  to: RestoreHost,
  record: RestoreRecord,
  signal: AbortSignal,
): Promise<Settled> {
  const { run, restore } = to;
  const { id: session, uuid, aside, machine, isWhole = false } = record;
  const made = await madeBy(to, record, signal);
  if (made || isWhole) {
    await unlessGone(aside, (id) => run.leaveAside(id, session, signal));
    return { made, isRemoved: false };
  }
  // Files are placed after the machine was noted.
  await restore.withdraw({ session, uuid: machine === undefined ? undefined : uuid }, signal);
  await unlessGone(aside, (id) => run.putBack(id, session, signal));
  return { made: undefined, isRemoved: true };
}

/** A machine that was set aside may have been removed in the meantime. */
async function unlessGone(
  aside: string | undefined,
  work: (id: string) => Promise<void>,
): Promise<void> {
  if (aside === undefined) return;
  try {
    await work(aside);
  } catch (cause) {
    if (!(cause instanceof HypervisorError) || cause.code !== 'NOT_FOUND') throw cause;
  }
}

/**
 * A machine of that UUID can be another's: only its disks say that it is ours. Once the record says that it was whole,
 * they need not: a snapshot may lie over them.
 */
async function madeBy(
  { host }: RestoreHost,
  { machine, uuid, disks = [], isWhole = false }: RestoreRecord,
  signal: AbortSignal,
): Promise<Made | undefined> {
  const machines = machine === undefined ? [] : await host.machines(signal);
  if (!machines.some(({ id }) => id === machine)) return undefined;
  const described = (await host.describe(machine!, signal)).machine;
  const found = described.disks.find(({ source = '' }) => disks.includes(source));
  if (!found && !(isWhole && machine === uuid)) return undefined;
  return { machine: machine!, disk: found?.name };
}
