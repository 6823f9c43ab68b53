import type { PlacedAnswer } from '../../operations/nouns/placed.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { PlacedRequest } from '../../sessions/placed/placed-requests.ts';
import { newPointId } from '../../catalog/points.ts';
import { isOwn } from '../../sessions/state/session-state.ts';
import { listSessions, sessionStatus } from '../../sessions/state/listed-sessions.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Engine, WorkOptions } from '../base/engine.ts';
import type { Finished } from '../sessions/placed-sessions.ts';
import type { SessionSupervisor } from '../sessions/session-supervisor.ts';
import type { ServiceContext, StoreContext } from './context.ts';

/* What people ask of sessions that have a machine on a hypervisor. The service carries them on by itself. */

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

export function answerOf({ placed }: SessionSupervisor, session: string): PlacedAnswer {
  const it = placed.of(session);
  return { session, state: it?.record.phase ?? 'ended', waits: placed.problem(session) ?? null };
}

/** Whether a machine on a hypervisor may use its disks. Rejects NOT_FOUND; a damaged journal says nothing. */
async function isThere(
  { store }: Engine,
  { placed }: SessionSupervisor,
  session: string,
): Promise<boolean> {
  // What it does is in memory too, and its next change writes the journal again.
  if (placed.of(session)) return true;
  try {
    const { record } = await sessionStatus(store, session);
    return record.placement !== undefined && !isOwn(record.phase);
  } catch (cause) {
    if (cause instanceof SessionError && cause.code === 'CORRUPT') return false;
    throw cause;
  }
}

/**
 * Undefined: it is an ordinary session. Resolves once it is gone, or waits. Rejects IMPOSSIBLE if it ended in another
 * way.
 */
async function discardThere(
  service: ServiceContext | undefined,
  { session, stop = 'off' }: RequestOf<'session/discard'>,
  options: WorkOptions,
): Promise<ResultOf<'session/discard'> | undefined> {
  if (!service) return undefined;
  const sessions = await service.sessions();
  if (!(await isThere(await service.engine(), sessions, session))) return undefined;
  await sessions.placed.ask(session, { kind: 'discard', stop });
  const to = await sessions.placed.follow(session, options);
  if (to?.kind === 'waits') return { session, discarded: false, waits: to.waits.message };
  if (to?.end.how !== 'discarded') throw endedOtherwise(session, 'discarded', to?.end);
  return { session, discarded: true, waits: null };
}

/** Also an ordinary one, and one whose journal is damaged. */
export async function discardAny(
  { engine, service }: Pick<StoreContext, 'engine' | 'service'>,
  request: RequestOf<'session/discard'>,
  options: WorkOptions,
): Promise<ResultOf<'session/discard'>> {
  const there = await discardThere(service, request, options);
  if (there) return there;
  const { session } = request;
  const tell = (message: string): void => options.report({ event: 'notice', message });
  const { discard } = await import('../sessions/run-session.ts');
  await discard(await engine(), session, tell);
  const sessions = await service?.sessions();
  sessions?.ended(session, 'discarded');
  sessions?.placed.collect();
  return { session, discarded: true, waits: null };
}

/** As `discardThere`; rejects IMPOSSIBLE if it waits: it is kept none the less, as soon as it can. */
export async function keepThere(
  { engine, sessions }: { readonly engine: Engine; readonly sessions: SessionSupervisor },
  { session, stop = 'shutdown' }: RequestOf<'session/keep'>,
  options: WorkOptions,
): Promise<ResultOf<'session/keep'> | undefined> {
  if (!(await isThere(engine, sessions, session))) return undefined;
  const record =
    sessions.placed.of(session)?.record ?? (await sessionStatus(engine.store, session)).record;
  await sessions.placed.ask(session, {
    kind: 'keep',
    as: newPointId(engine.store, record.machine),
    stop,
  });
  const to = await sessions.placed.follow(session, options);
  if (to?.kind === 'waits') {
    const what = `session ${session} will be kept as soon as it no longer waits`;
    throw new SessionError('IMPOSSIBLE', `${what}: ${to.waits.message}`);
  }
  if (to?.end.how !== 'kept') throw endedOtherwise(session, 'kept', to?.end);
  const { point, damage } = to.end;
  return { session, point, damage };
}

/** Another person may have asked for something else, or have moved its machine. */
function endedOtherwise(
  session: string,
  asked: 'kept' | 'discarded',
  end: Finished | undefined,
): SessionError {
  return new SessionError('IMPOSSIBLE', `session ${session} was not ${asked}: ${wordsOf(end)}`);
}

const WORDS = {
  discarded: 'it was discarded, as was asked for in the meantime',
  moved:
    'its machine has moved to the disks of the hypervisor, and continues to run there without it',
} as const;

function wordsOf(end: Finished | undefined): string {
  if (end?.how === undefined) return 'it is an ordinary session again: resume, keep or discard it';
  if (end.how !== 'kept') return WORDS[end.how];
  return `it was kept as recovery point ${end.point}, as was asked for in the meantime`;
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
    throw new SystemError(
      'BUSY',
      `${what}: end the session first ("session migrate", "keep", "discard" or "abandon")`,
    );
  }
  const { placed } = await service.sessions();
  const owed = placed.owed().find(({ debt }) => debt.hypervisor === hypervisor);
  if (!owed || force) return;
  const what = `what session ${owed.debt.session} has left on "${hypervisor}" is not removed there yet`;
  throw new SystemError(
    'BUSY',
    `${what}: wait until the hypervisor can be reached, or give --force`,
  );
}
