import type { MachineDescription } from '../../formats/store/catalog/machine.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { Placement } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import type { MachineSummary } from '../../hypervisors/base/machines.ts';
import type { Places, RunDriver } from '../../hypervisors/base/run-driver.ts';
import type { Store } from '../../store/directory/store.ts';
import { uuidFrom } from '../../lib/uuid.ts';
import { decideIdentity, notDecided } from './identity.ts';
import { decideMove } from './move-target.ts';
import { decideNetworks } from './networks.ts';
import { pointFindings, readParts } from './point-parts.ts';
import type { RunFacts, TakenPlace } from './run-facts.ts';
import { runPlanOf } from './run-plan.ts';
import type { RunWish } from './run-wish.ts';

/* What one machine of a run will be, and what stands in its way. */

export interface RunAsked {
  readonly set: OpenSet;
  readonly point: PointRecord;
  /** The name of the hypervisor in Holdfast, how it runs machines, and what it has. */
  readonly hypervisor: string;
  readonly run: RunDriver;
  readonly places: Places;
  readonly machines: readonly MachineSummary[];
  readonly wish: RunWish;
  /** All sessions of the store. */
  readonly sessions: readonly SessionRecord[];
  /** Machines of the same run that were planned before this one. */
  readonly before: readonly Placement[];
}

export interface PlannedRun {
  /** Undefined: nothing could be planned, as a finding says. */
  readonly placement: Placement | undefined;
  readonly machine: MachineDescription | undefined;
  /** Names of networks that something was chosen for, and that it has no card in. */
  readonly unknown: readonly string[];
  readonly findings: readonly Finding[];
}

/** Has no effects. Rejects HypervisorError if the hypervisor cannot be asked. */
export async function planRun(
  store: Store,
  asked: RunAsked,
  signal: AbortSignal,
): Promise<PlannedRun> {
  const { point, hypervisor, run, places, machines, wish } = asked;
  const parts = await readParts(store, asked);
  const { machine, files } = parts;
  const ours = pointFindings(point, parts);
  if (!machine) return { placement: undefined, machine, unknown: [], findings: ours };
  const facts: RunFacts = {
    ...{ machine, hypervisor, places, machines },
    newUuid: uuidFrom(store.random.bytes(16), 4),
    disks: point.disks.map(({ name }) => name),
    taken: takenPlaces(asked),
  };
  const { placement, unknown, findings } = decideRun(facts, wish);
  const plan = runPlanOf(
    { id: NO_SESSION, placement },
    // Nothing is served before the run has begun.
    { machine, files, disks: point.disks.map(({ name, size }) => ({ name, size, urls: [] })) },
  );
  const theirs = await run.check(plan, signal);
  const all = merged([...ours, ...findings], theirs, placement);
  return { placement, machine, unknown, findings: all };
}

/** No machine has that mark. */
const NO_SESSION = 'not-begun';

/** Names and UUIDs that are not free, although the hypervisor may not know of them yet. */
function takenPlaces({ sessions, hypervisor, before }: RunAsked): readonly TakenPlace[] {
  const placed = sessions.flatMap(({ id: session, placement }) =>
    placement?.hypervisor === hypervisor ? [{ session, placement }] : [],
  );
  const planned = before.map((placement) => ({ session: 'of the same run', placement }));
  return [...placed, ...planned].map(({ session, placement: { plan } }) => ({
    ...{ session, name: plan.name, uuid: plan.uuid },
  }));
}

/** What follows from the options, from the recovery point and from what the hypervisor has. */
export function decideRun(
  facts: RunFacts,
  wish: RunWish,
): {
  readonly placement: Placement;
  readonly unknown: readonly string[];
  readonly findings: readonly Finding[];
} {
  const { name, uuid, replaces, findings: named } = decideIdentity(facts, wish);
  const { networks, unknown, findings: connected } = decideNetworks(facts, wish);
  const { moves, pool, findings: moved } = decideMove(facts, wish);
  const { autostart } = facts.machine;
  const placement: Placement = {
    hypervisor: facts.hypervisor,
    plan: {
      ...{ name, uuid, networks, autostart, powerOn: wish.powerOn, replaces, moves },
      writes: wish.writes,
    },
    ...{ pool, goal: 'run', stop: 'shutdown', machine: undefined, aside: undefined },
    disks: facts.disks.map((disk) => ({
      ...{ name: disk, shown: undefined, reserved: undefined, place: undefined, pivoted: false },
    })),
    ...{ offline: undefined, lostCopies: 0, wasToMove: false, waits: undefined, run: undefined },
    ...{ firstOn: undefined, firstHeartbeat: undefined },
  };
  return { placement, unknown, findings: [...named, ...connected, ...moved] };
}

function merged(
  ours: readonly Finding[],
  theirs: readonly Finding[],
  { plan }: Placement,
): readonly Finding[] {
  const rest = notDecided(theirs, plan);
  return [...ours, ...(plan.moves.kind === 'asked' ? rest.map(laterSpace) : rest)];
}

/** Nothing is reserved before a person has it moved. */
function laterSpace(found: Finding): Finding {
  if (found.code !== 'target-space' || found.level !== 'blocker') return found;
  return { ...found, level: 'warning' };
}
