import { knownCapacity } from '../../box/capacity.ts';
import { findPoint, newPointId, readPoint } from '../../catalog/points.ts';
import type { Placement, RunGap } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { ExportWay } from '../../hypervisors/base/export-way.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import { HypervisorError, isAway } from '../../hypervisors/base/hypervisor-error.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { listSessions } from '../../sessions/state/listed-sessions.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { type Engine, type OpenedPoint, openPoint, type WorkOptions } from '../base/engine.ts';
import { shownFinding } from '../hypervisors/readiness.ts';
import { chosenNetworks } from '../run-plan/networks.ts';
import { planRuns, possibleRuns } from '../run-plan/plan-runs.ts';
import { blockersIn, findingText } from '../run-plan/refusal.ts';
import { pointsOfRun } from '../run-plan/points-of-run.ts';
import type { RunWish } from '../run-plan/run-wish.ts';
import type { Connection } from '../sessions/placed/connections.ts';
import type { PlacedParts } from '../sessions/placed/driven-session.ts';
import { servedSocket } from '../sessions/placed/host-reach.ts';
import type { PlaceWish } from '../sessions/run-session.ts';
import type { SessionSupervisor } from '../sessions/session-supervisor.ts';
import type { ServiceContext } from './context.ts';
import { answerOf } from './placed.ts';

/*
 * Machines are run on a hypervisor, one or several: everything is checked before the first of them is placed. Then each
 * has a session of its own, which the service carries on.
 */

type Request = RequestOf<'session/run'>;
type Result = ResultOf<'session/run'>;

/** Rejects IMPOSSIBLE, with all that stands in the way; then there is no session. */
export async function runOn(
  service: ServiceContext,
  request: Request,
  options: WorkOptions,
): Promise<Result> {
  const gap = gapOf(request);
  const [engine, sessions] = [await service.engine(), await service.sessions()];
  const asked = await askedPoints(engine, request);
  const { connections } = sessions.placed;
  // Before anything is made.
  await connections.open(request.on, options.signal);
  const run = asked.length > 1 ? newPointId(engine.store, 'run') : undefined;
  let planned: Planned | undefined;
  const made: string[] = [];
  for (const [at, point] of asked.entries()) {
    const placeBy = async (connection: Connection, parts: PlacedParts): Promise<Placement> => {
      const together = { engine, request, points: asked, connection };
      planned ??= await planAll(together, parts, options);
      const part =
        run === undefined
          ? undefined
          : { id: run, after: made.at(-1), gap, isTurn: false, from: undefined };
      const placement = { ...planned.placements[at]!, run: part };
      planned = await requireReached(planned, { parts, placement, connection }, options.signal);
      return placement;
    };
    const plan = async (parts: PlacedParts): Promise<Placement> => {
      const connection = await connections.open(request.on, options.signal);
      try {
        return await placeBy(connection, parts);
      } catch (cause) {
        // The next run would have the same one, and fail too.
        if (isAway(cause)) await connections.lost(connection);
        throw cause;
      }
    };
    try {
      made.push(await begin(sessions, { point, place: { on: request.on, plan } }, options));
    } catch (cause) {
      if (made.length > 0) {
        const message = `the machines before it continue to run: sessions ${made.join(', ')}`;
        options.report({ event: 'notice', message });
      }
      throw cause;
    }
  }
  return {
    run: run ?? null,
    sessions: await started(sessions, { made, points: asked, request }, options),
    findings: planned!.findings.map(shownFinding),
  };
}

/** Throws IMPOSSIBLE for two of them. Without one, each starts as soon as the one before it runs. */
function gapOf({ delay, heartbeat }: Request): RunGap {
  if (delay === undefined || heartbeat === undefined) {
    if (heartbeat !== undefined) return { kind: 'heartbeat', seconds: heartbeat };
    return { kind: 'delay', seconds: delay ?? 0 };
  }
  const what = 'a machine starts after a time (--delay) or after a heartbeat (--heartbeat)';
  throw new SessionError('IMPOSSIBLE', `${what}, not after both: give one of them`);
}

/** Their IDs, in the order in which their machines start. Rejects NOT_FOUND, IMPOSSIBLE for none. */
async function askedPoints(engine: Engine, { points, run }: Request): Promise<readonly string[]> {
  const named: string[] = [];
  for (const point of points) named.push((await findPoint(engine.store, point)).id);
  const more = run === undefined ? [] : await pointsOfRun(engine, run);
  const all = [...named, ...more.filter((it) => !named.includes(it))];
  if (all.length > 0) return all;
  throw new SessionError(
    'IMPOSSIBLE',
    'give a recovery point, or --run with a backup of several machines',
  );
}

interface Planned {
  readonly placements: readonly Placement[];
  readonly findings: readonly Finding[];
}

interface Together {
  readonly engine: Engine;
  readonly request: Request;
  readonly points: readonly string[];
  readonly connection: Connection;
}

/** `parts`: of the first of them. Rejects IMPOSSIBLE. */
async function planAll(
  { engine, request, points, connection: { host, run } }: Together,
  { opened: first }: PlacedParts,
  { secrets, signal }: WorkOptions,
): Promise<Planned> {
  const { store, box } = engine;
  const opened: OpenedPoint[] = [first];
  for (const point of points.slice(1)) {
    const place = await findPoint(store, point);
    const known = opened.find(({ set }) => set.name === place.set)?.set;
    opened.push(
      known
        ? { set: known, point: await readPoint(store, known, place.id) }
        : await openPoint(engine, point, secrets),
    );
  }
  const { sessions } = await listSessions(store);
  const planned = await planRuns(
    store,
    {
      ...{ points: opened, hypervisor: request.on, host, run, wish: wishOf(request) },
      sessions: sessions.map(({ record }) => record),
      capacity: await knownCapacity(store, box.directory),
    },
    signal,
  );
  const findings = [
    ...planned.findings,
    ...planned.runs.flatMap((it, at) =>
      points.length === 1 ? it.findings : it.findings.map((found) => labelled(opened[at]!, found)),
    ),
  ];
  const placements = possibleRuns(planned);
  if (placements) return { placements, findings };
  throw inTheWay(findings, request.on);
}

function labelled({ point }: OpenedPoint, found: Finding): Finding {
  return { ...found, message: `${point.machine}: ${found.message}` };
}

interface Reaching {
  readonly parts: PlacedParts;
  readonly placement: Placement;
  readonly connection: Connection;
}

/** Only now are its disks served: whether the hypervisor reaches them was not asked before. Rejects IMPOSSIBLE. */
async function requireReached(
  planned: Planned,
  { parts: { held, plan }, placement, connection: { hypervisor, run } }: Reaching,
  signal: AbortSignal,
): Promise<Planned> {
  const record = { ...held.record, placement };
  const unreached = await unreachedBy(run.exports, record, signal);
  const found = unreached ? [unreached] : await run.check(await plan(record, run.exports), signal);
  const reached = found.filter(({ code }) => code === 'data-path');
  if (blockersIn(reached).length > 0) throw inTheWay(reached, hypervisor);
  return { ...planned, findings: [...planned.findings, ...reached] };
}

/** Why the hypervisor does not reach what is served here. */
async function unreachedBy(
  exports: ExportWay,
  record: SessionRecord,
  signal: AbortSignal,
): Promise<Finding | undefined> {
  await using way = exports.open(servedSocket(record), () => {});
  try {
    await way.reached(signal);
    return undefined;
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    const remedy =
      'check the hypervisor: "holdfast hypervisor test"; "holdfast hypervisor show" prints what it needs';
    return { level: 'blocker', code: 'data-path', message: cause.message, remedy };
  }
}

interface Beginning {
  readonly point: string;
  readonly place: PlaceWish;
}

async function begin(
  sessions: SessionSupervisor,
  { point, place }: Beginning,
  options: WorkOptions,
): Promise<string> {
  const { session } = await sessions.start(
    {
      what: { kind: 'point', point, whenFull: 'pause', place },
      ...{ listen: undefined, tls: undefined, nfs: undefined },
    },
    options,
  );
  return session;
}

/** Once each is placed, or waits: they go on by themselves. */
async function started(
  sessions: SessionSupervisor,
  {
    made,
    points,
    request: { on },
  }: {
    readonly made: readonly string[];
    readonly points: readonly string[];
    readonly request: Request;
  },
  { signal, report }: WorkOptions,
): Promise<Result['sessions']> {
  const until = ({ phase }: { readonly phase: string }): boolean => phase !== 'placing';
  const shown: Result['sessions'][number][] = [];
  for (const [at, session] of made.entries()) {
    await sessions.placed.follow(session, { signal, report, until });
    const { state, waits } = answerOf(sessions, session);
    const machine = sessions.placed.of(session)?.record.placement?.plan.name ?? '';
    shown.push({ session, point: points[at]!, hypervisor: on, machine, state, waits });
  }
  return shown;
}

function wishOf(request: Request): RunWish {
  const { name, pool, networks, isolated, powerOn, writes, ...when } = request;
  const { migrate, migrateAfter, replace } = when;
  return {
    ...{ name, pool, networks: chosenNetworks(networks), isIsolated: isolated },
    ...{ powerOn, writes, migrate, migrateAfter, replace },
  };
}

function inTheWay(findings: readonly Finding[], hypervisor: string): SessionError {
  const lines = blockersIn(findings).map(findingText).join('\n');
  const what = `the run on ${hypervisor} was refused, and nothing was changed`;
  return new SessionError('IMPOSSIBLE', `${what}:\n${lines}`);
}
