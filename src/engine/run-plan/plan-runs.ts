import type { CapacityRecord } from '../../formats/store/service/capacity.ts';
import type { Placement } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import type { Hypervisor } from '../../hypervisors/base/hypervisor.ts';
import type { PoolPlace, RunDriver } from '../../hypervisors/base/run-driver.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { Store } from '../../store/directory/store.ts';
import { unknownFinding } from './networks.ts';
import { capacityFindings, ownFindings } from './own-side.ts';
import { type PlannedRun, planRun } from './plan-run.ts';
import { blockersIn } from './refusal.ts';
import type { RunWish } from './run-wish.ts';
import type { OpenedPoint } from '../base/engine.ts';

/*
 * What a run will be, of one machine or of several, and all that stands in its way, found out before anything is
 * changed, here or there. Nothing of what was found hides the rest: a person mends all of it at once.
 */

export interface RunsAsked {
  /** In the order in which their machines start. */
  readonly points: readonly OpenedPoint[];
  /** The name of the hypervisor in Holdfast, and a connection to it. */
  readonly hypervisor: string;
  readonly host: Pick<Hypervisor, 'machines'>;
  readonly run: RunDriver;
  readonly wish: RunWish;
  /** All sessions of the store. */
  readonly sessions: readonly SessionRecord[];
  /** What this box was measured to carry; undefined: it was not measured. */
  readonly capacity: CapacityRecord | undefined;
}

export interface PlannedRuns {
  /** By the points, in their order. */
  readonly runs: readonly PlannedRun[];
  /** About all of them. */
  readonly findings: readonly Finding[];
}

/** Has no effects. Rejects HypervisorError if the hypervisor cannot be asked. */
export async function planRuns(
  store: Store,
  { points, ...asked }: RunsAsked,
  signal: AbortSignal,
): Promise<PlannedRuns> {
  const { host, run, wish } = asked;
  const places = await run.places(signal);
  const facts = { ...asked, places, machines: await host.machines(signal) };
  const runs: PlannedRun[] = [];
  for (const opened of points) {
    const before = runs.flatMap(({ placement }) => placement ?? []);
    runs.push(await planRun(store, { ...facts, ...opened, before }, signal));
  }
  const findings = [
    ...run.exports.findings,
    // Where guests write to the hypervisor's storage, nothing of it is here.
    ...(await ownFindings(store, wish.writes === 'here' ? points.length : 0)),
    ...(points.length > 1 && wish.name !== undefined ? [oneName] : []),
    ...unknownNetworks(runs, Object.keys(wish.networks)),
    ...(points.length > 1 ? roomFindings(points, { runs, pools: places.pools }) : []),
    ...(points.length > 1 ? capacityFindings(points.length, asked) : []),
  ];
  return { runs, findings };
}

/** The placements, if nothing stands in the way of any. */
export function possibleRuns({ runs, findings }: PlannedRuns): readonly Placement[] | undefined {
  const all = [...findings, ...runs.flatMap((it) => it.findings)];
  if (blockersIn(all).length > 0) return undefined;
  const placements = runs.flatMap(({ placement }) => placement ?? []);
  return placements.length === runs.length ? placements : undefined;
}

const oneName: Finding = {
  ...{ level: 'blocker', code: 'name' },
  message: 'one name was given for several machines',
  remedy: 'omit --name, or run them one by one',
};

/** A name that one of the machines knows is no mistake. */
function unknownNetworks(
  runs: readonly PlannedRun[],
  chosen: readonly string[],
): readonly Finding[] {
  const described = runs.filter(({ machine }) => machine);
  const nics = described.flatMap(({ machine }) => machine!.nics);
  return chosen
    .filter(
      (old) => described.length > 0 && described.every(({ unknown }) => unknown.includes(old)),
    )
    .map((old) => unknownFinding(old, nics));
}

/**
 * Each alone may have room in the pool, and not all of them together. Where guests write to the pool and the machines
 * are completed there later, that room is needed only by and by.
 */
function roomFindings(
  points: readonly OpenedPoint[],
  { runs, pools }: { readonly runs: readonly PlannedRun[]; readonly pools: readonly PoolPlace[] },
): readonly Finding[] {
  return pools.flatMap(({ name, free }): readonly Finding[] => {
    const inPool = points.flatMap(({ point }, at) => {
      const placement = runs[at]?.placement;
      if (placement?.pool !== name) return [];
      const { moves, writes } = placement.plan;
      const isLater = moves.kind === 'asked';
      const size = point.disks.reduce((sum, disk) => sum + disk.size, 0);
      return isLater && writes === 'here' ? [] : [{ size, isLater }];
    });
    if (inPool.some(({ size }) => size > free)) return [];
    const sumOf = (some: typeof inPool): number => some.reduce((sum, { size }) => sum + size, 0);
    const needed = sumOf(inPool);
    if (needed <= free) return [];
    const message = `the pool "${name}" has ${formatSize(free)} free, and together they need ${formatSize(needed)}`;
    if (sumOf(inPool.filter(({ isLater }) => !isLater)) <= free) {
      return [
        {
          ...{ level: 'warning', code: 'target-space', message: `${message} in the end` },
          remedy:
            'choose another pool, make space in it, or keep what guests write here: --writes here',
        },
      ];
    }
    return [
      {
        ...{ level: 'blocker', code: 'target-space', message },
        remedy:
          'choose another pool, make space in it, or let some of them migrate later: --migrate later',
      },
    ];
  });
}
