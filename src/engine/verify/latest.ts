import { CatalogError } from '../../catalog/catalog-error.ts';
import { readMachine } from '../../catalog/point-files.ts';
import { listPoints } from '../../catalog/points.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import { allDone } from '../../lib/all-done.ts';
import { asError } from '../../lib/as-error.ts';
import { turns } from '../../lib/mutex.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { memoryFor, processorsFor } from '../../sessions/proof/proof-machine.ts';
import type { CallOptions, Handler } from '../base/call.ts';
import { type Engine, openSet } from '../base/engine.ts';
import { firstFailure, kindOfFailure } from '../base/failures.ts';
import { OVERHEAD_BYTES, type ProofNeeds, type ProofRuns } from './proof-runs.ts';

/* The latest recovery point of each machine of a set is proven, as many at once as this box carries. */

export interface LatestOptions extends CallOptions {
  readonly runs: ProofRuns;
  readonly boot: Handler<'verify/point'>;
}

type Request = RequestOf<'verify/latest'>;
type Result = ResultOf<'verify/latest'>;

/** One that cannot be tried does not keep the others from it. */
export async function verifyLatest(
  engine: Engine,
  { set: name, machines, ...asked }: Request,
  options: LatestOptions,
): Promise<Result> {
  const { runs, boot, signal, report, secrets } = options;
  const set = await openSet(engine, name, secrets);
  const points = await latestOf(engine, name, machines);
  const say = (message: string): void => report({ event: 'notice', message });
  // A description is read by a reader of its own: one at a time, however many machines there are.
  const turn = turns();
  const tried = await allDone(
    points.map(async (point) => {
      const { id, machine } = point;
      try {
        const needs = await turn(() => needsOf(engine, set, point));
        const proved = await runs.run(
          (own) =>
            boot(
              { ...asked, point: `${name}/${id}`, screenshot: false },
              {
                ...options,
                signal: own,
                report: (event) => event.event === 'notice' && say(`${id}: ${event.message}`),
              },
            ),
          {
            ...{ needs, signal },
            onWait: () => say(`${id}: the boot waits while a recovery session runs`),
          },
        );
        const { verdict, state, reason } = proved.proof;
        say(`${id}: ${verdict}: ${reason}`);
        return { proved: { machine, point: id, verdict, state, reason } };
      } catch (error) {
        const cause = firstFailure(error);
        if (signal.aborted || kindOfFailure(cause) === undefined) throw cause;
        const { message } = asError(cause);
        say(`${id}: it was not tried: ${message}`);
        return { notTried: { machine, point: id, reason: message } };
      }
    }),
  );
  return {
    set: name,
    points: tried.flatMap(({ proved }) => proved ?? []),
    notTried: tried.flatMap(({ notTried }) => notTried ?? []),
  };
}

/** In the order of publication, whatever the clock said. Rejects NOT_FOUND for a machine without a point. */
async function latestOf(
  { store }: Engine,
  set: string,
  machines: Request['machines'],
): Promise<readonly PointRecord[]> {
  const { points } = await listPoints(store, set);
  const latest = new Map(points.map((point) => [point.machine, point]));
  for (const machine of machines ?? []) {
    if (latest.has(machine)) continue;
    const what = `set "${set}" has no recovery point of a machine "${machine}"`;
    throw new CatalogError('NOT_FOUND', `${what}: see "holdfast backup list ${set}"`);
  }
  return [...latest.values()].filter(({ machine }) => machines?.includes(machine) ?? true);
}

/** A description that is lost is reported by the boot itself. */
async function needsOf(engine: Engine, set: OpenSet, point: PointRecord): Promise<ProofNeeds> {
  const machine = await readMachine(engine.store, set, point).catch((cause: unknown) => {
    if (!(cause instanceof CatalogError)) throw cause;
    return undefined;
  });
  return {
    memoryBytes: memoryFor(machine) + OVERHEAD_BYTES,
    processors: processorsFor(machine),
  };
}
