import type { Placement } from '../../formats/store/sessions/placement.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import type { PlacedAnswer } from '../../operations/nouns/placed.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { PlacedRequest } from '../../sessions/placed/placed-requests.ts';
import { newPointId } from '../../catalog/points.ts';
import { isOwn } from '../../sessions/state/session-state.ts';
import { listSessions, sessionStatus } from '../../sessions/state/listed-sessions.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Engine, WorkOptions } from '../base/engine.ts';
import { shownFinding } from '../hypervisors/readiness.ts';
import { isPossible, type PlannedRun, planRun } from '../run-plan/plan-run.ts';
import type { RunWish } from '../run-plan/run-wish.ts';
import type { Connections } from '../sessions/placed/connections.ts';
import type { PlacedParts } from '../sessions/placed/driven-session.ts';
import type { SessionSupervisor } from '../sessions/session-supervisor.ts';
import type { ServiceContext } from './context.ts';

/* What people ask of sessions that have a machine on a hypervisor. The service carries them on by itself. */

/** Rejects IMPOSSIBLE, with all that stands in the way; then there is no session. */
export async function runOn(
  service: ServiceContext,
  request: RequestOf<'session/run'>,
  options: WorkOptions,
): Promise<ResultOf<'session/run'>> {
  const { point, on } = request;
  const { signal, report } = options;
  const [engine, sessions] = [await service.engine(), await service.sessions()];
  const { connections } = sessions.placed;
  // Before anything is made.
  await connections.open(on, signal);
  let findings: readonly Finding[] = [];
  async function place(parts: PlacedParts): Promise<Placement> {
    const planned = await planFor(engine, { request, parts, connections }, signal);
    ({ findings } = planned);
    if (isPossible(planned)) return planned.placement!;
    throw new SessionError('IMPOSSIBLE', inTheWay(planned.findings, on));
  }
  const ready = await sessions.start(
    {
      what: { kind: 'point', point, whenFull: 'pause', place },
      ...{ listen: undefined, tls: undefined, nfs: undefined },
    },
    options,
  );
  const { session } = ready;
  const until = ({ phase }: { readonly phase: string }): boolean => phase !== 'placing';
  await sessions.placed.follow(session, { signal, report, until });
  const { state, waits } = answerOf(sessions, session);
  const machine = sessions.placed.of(session)?.record.placement?.plan.name ?? request.name ?? '';
  return {
    ...{ session, point: ready.point, hypervisor: on, machine, state, waits },
    findings: findings.map(shownFinding),
  };
}

async function planFor(
  engine: Engine,
  {
    request,
    parts: { held, opened, plan },
    connections,
  }: {
    readonly request: RequestOf<'session/run'>;
    readonly parts: PlacedParts;
    readonly connections: Connections;
  },
  signal: AbortSignal,
): Promise<PlannedRun> {
  const { on: hypervisor } = request;
  const { host, run } = await connections.open(hypervisor, signal);
  const { sessions } = await listSessions(engine.store);
  const planned = await planRun(
    engine,
    {
      ...{ ...opened, hypervisor, host, wish: wishOf(request) },
      sessions: sessions.map(({ record }) => record),
      ...{ before: [], run: undefined },
    },
    signal,
  );
  const { placement } = planned;
  if (!placement || !isPossible(planned)) return planned;
  // Only now are its disks served: whether the hypervisor reaches them was not asked before.
  const found = await run.check(await plan({ ...held.record, placement }), signal);
  const reached = found.filter(({ code }) => code === 'data-path');
  return { placement, findings: [...planned.findings, ...reached] };
}

function wishOf(request: RequestOf<'session/run'>): RunWish {
  const { name, pool, networks, isolated, powerOn, migrate, migrateAfter, replace } = request;
  const chosen = networks.map((it) => [it.name, it.where === 'none' ? null : it.where] as const);
  return {
    ...{ name, pool, networks: Object.fromEntries(chosen), isIsolated: isolated },
    ...{ powerOn, migrate, migrateAfter, replace },
  };
}

function inTheWay(findings: readonly Finding[], hypervisor: string): string {
  const lines = findings
    .filter(({ level }) => level === 'blocker')
    .map(({ disk, message, remedy }) =>
      [disk === undefined ? message : `disk ${disk}: ${message}`, remedy].join(': '),
    );
  return `it cannot run on ${hypervisor}, and nothing was changed:\n${lines.join('\n')}`;
}

export async function askPlaced(
  service: ServiceContext,
  session: string,
  asked: PlacedRequest,
): Promise<PlacedAnswer> {
  const sessions = await service.sessions();
  await sessions.placed.ask(session, asked);
  return answerOf(sessions, session);
}

export async function setPower(
  service: ServiceContext,
  { session, power }: RequestOf<'session/power'>,
): Promise<PlacedAnswer> {
  const sessions = await service.sessions();
  await sessions.placed.power(session, power);
  return answerOf(sessions, session);
}

function answerOf({ placed }: SessionSupervisor, session: string): PlacedAnswer {
  const it = placed.of(session);
  return { session, state: it?.record.phase ?? 'ended', waits: placed.problem(session) ?? null };
}

/** Whether a machine on a hypervisor may use its disks. Rejects NOT_FOUND; a damaged journal says nothing. */
async function isThere({ store }: Engine, session: string): Promise<boolean> {
  try {
    const { record } = await sessionStatus(store, session);
    return record.placement !== undefined && !isOwn(record.phase);
  } catch (cause) {
    if (cause instanceof SessionError && cause.code === 'CORRUPT') return false;
    throw cause;
  }
}

/** Undefined: it is an ordinary session. Resolves once it is gone, or waits. */
export async function discardThere(
  service: ServiceContext | undefined,
  { session, stop = 'off' }: RequestOf<'session/discard'>,
  options: WorkOptions,
): Promise<ResultOf<'session/discard'> | undefined> {
  if (!service || !(await isThere(await service.engine(), session))) return undefined;
  const sessions = await service.sessions();
  await sessions.placed.ask(session, { kind: 'discard', stop });
  const waits = await sessions.placed.follow(session, options);
  return { session, discarded: waits === undefined, waits: waits?.message ?? null };
}

/** The same; rejects IMPOSSIBLE if it waits: it is kept none the less, as soon as it can. */
export async function keepThere(
  { engine, sessions }: { readonly engine: Engine; readonly sessions: SessionSupervisor },
  { session, stop = 'shutdown' }: RequestOf<'session/keep'>,
  options: WorkOptions,
): Promise<ResultOf<'session/keep'> | undefined> {
  if (!(await isThere(engine, session))) return undefined;
  const { record } = await sessionStatus(engine.store, session);
  await sessions.placed.ask(session, {
    kind: 'keep',
    as: newPointId(engine.store, record.machine),
    stop,
  });
  const point = sessions.placed.of(session)?.record.keepAs;
  const waits = await sessions.placed.follow(session, options);
  if (waits) {
    const what = `session ${session} is kept as soon as it no longer waits`;
    throw new SessionError('IMPOSSIBLE', `${what}: ${waits.message}`);
  }
  return { session, point: point!, damage: [] };
}

/** Rejects BUSY while a session has a machine there; unless forced, also while a given up one has left something. */
export async function refuseUsed(
  service: ServiceContext,
  { hypervisor, force }: RequestOf<'hypervisor/remove'>,
): Promise<void> {
  const { sessions } = await listSessions((await service.engine()).store);
  const using = sessions.find(
    ({ record: { placement, phase } }) => placement?.hypervisor === hypervisor && !isOwn(phase),
  );
  if (using) {
    const what = `session ${using.record.id} has a machine on "${hypervisor}"`;
    throw new SystemError('BUSY', `${what}: end that first (discard, keep, migrate, abandon)`);
  }
  const { placed } = await service.sessions();
  const owed = placed.owed().find(({ debt }) => debt.hypervisor === hypervisor);
  if (!owed || force) return;
  const what = `what session ${owed.debt.session} has left on "${hypervisor}" is not removed there yet`;
  throw new SystemError('BUSY', `${what}: wait until it can be reached, or --force`);
}
