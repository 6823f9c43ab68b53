import type { ReservedDisk, RunDriver, RunPlan, ShownDisk } from '../../base/run-driver.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import { leaveAside, putBack, removeAside, setAside } from './aside.ts';
import { checkRun } from './check-run.ts';
import { eventsOf } from './events.ts';
import { reserveOver, shownOver } from './layer-volumes.ts';
import { cancelMove, move, moving, pivot } from './move.ts';
import { findMade, lookAt } from './placed.ts';
import { placesOf } from './places.ts';
import { start, stop } from './power.ts';
import { register } from './register.ts';
import { fullDisks, release, reserve } from './reserved.ts';
import type { RunHost } from './run-host.ts';
import { sourceFor } from './served-disk.ts';
import { settle, switchDisks, unregister } from './settle.ts';

/** Machines of sessions under libvirt: their disks come over NBD, and move by a copy of QEMU's. */
export function libvirtRuns(host: RunHost): RunDriver {
  return {
    exports: host.exports,
    places: (signal) => placesOf(host, signal),
    check: (plan, signal) => checkRun(host, plan, signal),
    reserve: async (plan, signal) => reserveAll(host, plan, signal),
    release: (session, signal) => release(host, session, signal),
    // A machine's definition says itself where its disks are: nothing else is made known to the host.
    async show(plan, signal) {
      signal.throwIfAborted();
      const over = overOf(plan);
      return over ? shownOver(host, over, signal) : shownOf(plan);
    },
    hide: (session, signal) => hide(host, session, signal),
    setAside: (id, session, signal) => setAside(host, { id, session, signal }),
    putBack: (id, session, signal) => putBack(host, { id, session, signal }),
    leaveAside: (id, session, signal) => leaveAside(host, { id, session, signal }),
    removeAside: (id, session, signal) => removeAside(host, { id, session, signal }),
    register: (plan, shown, signal) => register(host, plan, { shown, signal }),
    find: (session, signal) => findMade(host, session, signal),
    start: (placed, signal) => start(host, placed, signal),
    stop: (placed, how, signal) => stop(host, placed, { how, signal }),
    look: (placed, signal) => lookAt(host, placed, signal),
    move: (placed, to, signal) => move(host, placed, { to, signal }),
    moving: (placed, signal) => moving(host, placed, signal),
    cancelMove: (placed, signal) => cancelMove(host, placed, signal),
    pivot: (placed, signal) => pivot(host, placed, signal),
    switchDisks: (placed, to, signal) => switchDisks(host, placed, { to, signal }),
    settle: (placed, plan, signal) => settle(host, placed, { plan, signal }),
    unregister: (placed, signal) => unregister(host, placed, signal),
    events: (signal) => eventsOf(host, signal),
  };
}

async function reserveAll(
  host: RunHost,
  plan: RunPlan,
  signal: AbortSignal,
): Promise<readonly ReservedDisk[]> {
  const { session, pool, disks } = plan;
  const over = overOf(plan);
  if (over) return reserveOver(host, over, signal);
  if (pool === undefined) return [];
  return reserve(host, { session, pool, disks: fullDisks(disks) }, signal);
}

/** Undefined: its guest does not write to disks of the host. */
function overOf({ writes, pool, ...plan }: RunPlan): (RunPlan & { pool: string }) | undefined {
  if (writes === 'here') return undefined;
  if (pool !== undefined) return { ...plan, writes, pool };
  const message = `no pool was chosen for what the guest of ${plan.name} writes: choose one`;
  throw new HypervisorError('NOT_FOUND', message);
}

function shownOf({ disks }: RunPlan): readonly ShownDisk[] {
  return disks.map((disk) => ({ name: disk.name, source: sourceFor(disk) }));
}

/** Rejects BUSY as long as the session's machine has a disk of ours. */
async function hide(host: RunHost, session: string, signal: AbortSignal): Promise<void> {
  const id = await findMade(host, session, signal);
  if (id === undefined) return;
  const look = await lookAt(host, { id, session }, signal);
  if (!look.isThere || !Object.values(look.disks).includes('ours')) return;
  const message = `the machine ${look.name} uses the disks that the session ${session} serves`;
  throw new HypervisorError('BUSY', message);
}
