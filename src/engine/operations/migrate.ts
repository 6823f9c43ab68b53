import type { Downtime } from '../../operations/nouns/placed.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { stateOf } from '../../sessions/placed/placed-progress.ts';
import type { PlacedRequest } from '../../sessions/placed/placed-requests.ts';
import { afterEvent } from '../../sessions/placed/placed-state.ts';
import { placementOf } from '../../sessions/placed/placed-steps.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import type { DrivenSession } from '../sessions/placed/driven-session.ts';
import type { ServiceContext } from './context.ts';
import { answerOf, askPlaced } from './placed.ts';

type Request = RequestOf<'session/migrate'>;
type Result = ResultOf<'session/migrate'>;

/**
 * Lets the disks of a machine move: while it runs, or while it is off, once it was said how long that takes. Rejects
 * IMPOSSIBLE.
 */
export async function migrate(
  service: ServiceContext,
  request: Request,
  signal: AbortSignal,
): Promise<Result> {
  requireMeant(request);
  const { session, pool, cancel, offline, confirmed } = request;
  const { placed } = await service.sessions();
  const it = placed.of(session);
  const moves: PlacedRequest = { kind: 'move', ...(pool !== undefined && { pool }) };
  if (cancel || !it) return ask(service, session, cancel ? { kind: 'cancel-move' } : moves);
  // A repetition would begin the copy again.
  if (isCopied(it) && request.stop === undefined && !request.start) {
    return { ...answerOf(await service.sessions(), session), downtime: null };
  }
  if (!offline) {
    refuseOff(it);
    return ask(service, session, moves);
  }
  requirePossible(it);
  if (!confirmed) {
    const downtime = await downtimeOf(it, signal);
    return { ...answerOf(await service.sessions(), session), downtime };
  }
  return ask(service, session, { ...moves, offline: offlineWish(it, request) });
}

async function ask(service: ServiceContext, session: string, asked: PlacedRequest) {
  return { ...(await askPlaced(service, session, asked)), downtime: null };
}

/** Throws IMPOSSIBLE for options that would have no effect: a person who gave them expects one. */
function requireMeant({ session, pool, cancel, offline, stop, start, confirmed }: Request): void {
  const goWithOffline = stop !== undefined || start || confirmed;
  const why =
    cancel && (pool !== undefined || offline || goWithOffline)
      ? '--cancel goes with no other option'
      : goWithOffline && !offline
        ? '--stop, --start and --yes go with --offline'
        : undefined;
  if (why !== undefined) throw new SessionError('IMPOSSIBLE', `session ${session}: ${why}`);
}

/** Undefined: not known. */
function powerOf(it: DrivenSession): string | undefined {
  const look = it.look();
  return look?.isThere ? look.power : undefined;
}

/** Its machine is off, and its disks are being written. */
function isCopied(it: DrivenSession): boolean {
  const { phase } = it.record;
  const { offline, waits } = placementOf(it.record);
  return (
    phase === 'copying' && offline !== undefined && waits === undefined && powerOf(it) === 'off'
  );
}

/** Throws IMPOSSIBLE. */
function refuseOff(it: DrivenSession): void {
  const { id, phase } = it.record;
  if (powerOf(it) !== 'off' || (phase !== 'running' && phase !== 'copying')) return;
  const isHere = placementOf(it.record).plan.writes === 'here';
  const offline = isHere
    ? `, or let its disks move while it is off: "session migrate ${id} --offline"`
    : '';
  const advice = `start it ("session power ${id} on") and migrate it then${offline}`;
  throw new SessionError('IMPOSSIBLE', `session ${id}: its machine is off: ${advice}`);
}

/** Throws IMPOSSIBLE. */
function requirePossible(it: DrivenSession): void {
  const next = afterEvent(stateOf(it.record), 'move-offline');
  if (next.kind !== 'refused') return;
  throw new SessionError('IMPOSSIBLE', `session ${it.record.id}: ${next.why}`);
}

async function downtimeOf(it: DrivenSession, signal: AbortSignal): Promise<Downtime> {
  const { isMeasured, ...expected } = await it.expected(signal);
  return { ...expected, measured: isMeasured, power: powerOf(it) ?? null };
}

/** Throws IMPOSSIBLE if its machine runs, and nothing says that it may be stopped. */
function offlineWish(it: DrivenSession, { stop, start }: Request) {
  const { id } = it.record;
  const isOff = powerOf(it) === 'off';
  if (!isOff && stop === undefined && placementOf(it.record).offline === undefined) {
    const advice =
      'let its guest shut down first (--stop shutdown), or power it off (--stop off); or migrate it while it runs, ' +
      'without --offline';
    throw new SessionError('IMPOSSIBLE', `session ${id}: its machine is not off: ${advice}`);
  }
  return { start: start || !isOff, stop };
}
