import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { Placement, RunPart } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import type { Hypervisor } from '../../hypervisors/base/hypervisor.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import { uuidFrom } from '../../lib/uuid.ts';
import type { Engine } from '../base/engine.ts';
import { decideIdentity } from './identity.ts';
import { decideMove } from './move-target.ts';
import { decideNetworks } from './networks.ts';
import { ownFindings } from './own-side.ts';
import { pointFindings, readParts } from './point-parts.ts';
import type { RunFacts, TakenPlace } from './run-facts.ts';
import { runPlanOf } from './run-plan.ts';
import type { RunWish } from './run-wish.ts';

/*
 * What a run will be, and all that stands in its way, found out before anything is changed, here or there. Nothing of
 * what was found hides the rest: a person mends all of it at once.
 */

export interface RunAsked {
  readonly set: OpenSet;
  readonly point: PointRecord;
  /** The name of the hypervisor in Holdfast, and a connection to it. */
  readonly hypervisor: string;
  readonly host: Hypervisor;
  readonly wish: RunWish;
  /** All sessions of the store. */
  readonly sessions: readonly SessionRecord[];
  /** Machines of the same run that were planned before this one. */
  readonly before: readonly Placement[];
  /** The run of several machines that it is a part of. */
  readonly run: RunPart | undefined;
}

export interface PlannedRun {
  /** Undefined: nothing could be planned, as a finding says. */
  readonly placement: Placement | undefined;
  readonly findings: readonly Finding[];
}

export const isPossible = ({ placement, findings }: PlannedRun): boolean =>
  placement !== undefined && findings.every(({ level }) => level !== 'blocker');

/** Has no effects. Rejects HypervisorError if the hypervisor cannot be asked. */
export async function planRun(
  { store }: Engine,
  asked: RunAsked,
  signal: AbortSignal,
): Promise<PlannedRun> {
  const { point, hypervisor, host, wish } = asked;
  const driver = host.run;
  if (!driver) {
    const message = `${hypervisor} is a hypervisor of a kind on which Holdfast runs no machines: ${host.kind}`;
    throw new HypervisorError('UNSUPPORTED', message);
  }
  const parts = await readParts(store, asked);
  const { machine, files } = parts;
  const ours = [
    ...driver.exports.findings,
    ...(await ownFindings(store, asked.before.length + 1)),
    ...pointFindings(point, parts),
  ];
  if (!machine) return { placement: undefined, findings: ours };
  const facts: RunFacts = {
    ...{ machine, hypervisor, newUuid: uuidFrom(store.random.bytes(16), 4) },
    disks: point.disks.map(({ name }) => name),
    places: await driver.places(signal),
    machines: await host.machines(signal),
    taken: takenPlaces(asked),
  };
  const { placement, findings } = decideRun(facts, wish, asked.run);
  const plan = runPlanOf(
    { id: NO_SESSION, placement },
    // Nothing is served before the run has begun.
    { machine, files, disks: point.disks.map(({ name, size }) => ({ name, size, urls: [] })) },
  );
  const theirs = await driver.check(plan, signal);
  return { placement, findings: merged([...ours, ...findings], theirs, placement) };
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
  run?: RunPart,
): { readonly placement: Placement; readonly findings: readonly Finding[] } {
  const { name, uuid, replaces, findings: named } = decideIdentity(facts, wish);
  const { networks, findings: connected } = decideNetworks(facts, wish);
  const { moves, pool, findings: moved } = decideMove(facts, wish);
  const { autostart } = facts.machine;
  const placement: Placement = {
    hypervisor: facts.hypervisor,
    plan: { name, uuid, networks, autostart, powerOn: wish.powerOn, replaces, moves },
    ...{ pool, goal: 'run', stop: 'shutdown', machine: undefined, aside: undefined },
    disks: facts.disks.map((disk) => ({
      ...{ name: disk, shown: undefined, reserved: undefined, place: undefined, pivoted: false },
    })),
    ...{
      lostCopies: 0,
      firstOn: undefined,
      firstHeartbeat: undefined,
      wasToMove: false,
      waits: undefined,
      run,
    },
  };
  return { placement, findings: [...named, ...connected, ...moved] };
}

/** The driver knows less of names and of what is replaced, and says again what was decided here. */
function merged(
  ours: readonly Finding[],
  theirs: readonly Finding[],
  { plan: { replaces, moves } }: Placement,
): readonly Finding[] {
  const rest = theirs
    .filter(({ code }) => code !== 'name' && !(code === 'source-machine' && replaces))
    .map((it) => (moves.kind === 'asked' ? laterSpace(it) : it));
  return [...ours, ...rest];
}

/** Nothing is reserved before a person has it moved. */
function laterSpace(found: Finding): Finding {
  if (found.code !== 'target-space' || found.level !== 'blocker') return found;
  return { ...found, level: 'warning' };
}
