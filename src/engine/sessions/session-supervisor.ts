import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { isServed } from '../../sessions/state/served-sessions.ts';
import { isOwn } from '../../sessions/state/session-state.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { sessionStatus } from '../../sessions/state/listed-sessions.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import type { Damage } from '../../operations/nouns/backup.ts';
import type { Notice, Progress, Report } from '../../operations/events.ts';
import type { SessionExport, Traffic } from '../../operations/nouns/service.ts';
import type { KeptSession, ReadySession } from '../../operations/nouns/session.ts';
import { keyedTurns } from '../../lib/mutex.ts';
import { orAborted } from '../../lib/or-aborted.ts';
import type { Engine, SecretSource, WorkOptions } from '../base/engine.ts';
import type { Hypervisors } from '../hypervisors/hypervisors.ts';
import { heldSessions, type Kept } from './held-sessions.ts';
import { removeLeft } from './left-sessions.ts';
import { unserve } from './own-served.ts';
import { type Finished, type PlacedView, placedSessions, placedView } from './placed-sessions.ts';
import { resumptionOf } from './resumption.ts';
import type { RecoverRequest, RunningSession } from './run-session.ts';
import { followSession } from './followed-session.ts';
import type { OnEvent, SessionEnd } from './session-events.ts';
import type { LogLine } from './session-log.ts';
import { sessionRecords } from './session-records.ts';
import { followedState, type RunningHere } from './shown-sessions.ts';

/*
 * The sessions that the service runs. A session that was started here is resumed after every start of the service, at
 * the same address, until it is stopped, kept or discarded: whether the service was stopped or killed makes no
 * difference. A session that cannot be resumed now waits, and is tried again. Changes of one session happen one after
 * the other: a stop during a resumption stops its result.
 */
export interface SessionSupervisor extends AsyncDisposable, RunningHere {
  /** Once this resolves the session outlives the service. If the caller has gone, rejects and leaves no session. */
  start(request: RecoverRequest, options: WorkOptions): Promise<ReadySession>;
  /** Flushes and stops it, for `session resume`, `keep` and `discard`. Rejects NOT_FOUND. */
  stop(id: string): Promise<void>;
  /** Once, when the service starts: removes what a killed one has left, and resumes the rest. */
  recover(): Promise<void>;
  /** Resumes all that ran when the service ended. Failures are reported, not thrown. */
  resumeAll(): Promise<void>;
  /** Reports what happens to the session until it stops, or until `signal`. Rejects IMPOSSIBLE if it does not run. */
  attend(id: string, report: Report, signal: AbortSignal): Promise<void>;
  /** Reports what happens to the session until it is gone, whether it runs or not. Rejects NOT_FOUND. */
  follow(id: string, report: Report, signal: AbortSignal): Promise<SessionEnd | 'unknown'>;
  /** Work of another process on a session reports something; undefined: it has failed. */
  told(id: string, event: Progress | Notice | undefined): void;
  /** Another process has ended it. */
  ended(id: string, how: SessionEnd): void;
  /** Events of the session since the service was started, as far as they are kept. Rejects NOT_FOUND. */
  log(id: string): Promise<readonly LogLine[]>;
  /** Exports of running sessions, and their clients. */
  exports(): SessionExport[];
  /** Traffic of all sessions that ran since the service was started. */
  traffic(): Traffic;
  counts(): { readonly running: number; readonly waiting: number };
  /** Why a session that should run does not. */
  whyWaiting(id: string): string | undefined;
  /** All sessions that should run and do not, and why. */
  waiting(): ReadonlyMap<string, string>;
  /** Running sessions with damage found in their overlays. */
  damaged(): ReadonlyMap<string, readonly Damage[]>;
  /** Those that have a machine on a hypervisor. */
  readonly placed: PlacedView;
}

export interface SupervisorOptions {
  /** Secrets available without asking; rejects WRONG_KEY otherwise. */
  readonly secrets: SecretSource;
  readonly onEvent: OnEvent;
  readonly hypervisors: () => Promise<Hypervisors>;
  /** Makes a recovery point of a session that no process holds, and removes it. */
  readonly keep: (session: string, options: WorkOptions) => Promise<KeptSession>;
}

export function sessionSupervisor(engine: Engine, options: SupervisorOptions): SessionSupervisor {
  const records = sessionRecords(engine.store.clock, options.onEvent);
  const { onEvent } = records;
  const turn = keyedTurns();
  const placed = placedSessions(engine, {
    ...{ ...options, onEvent, onOver },
    ...{ kept: () => held.kept, turn },
    signal: () => held.closing.signal,
  });
  const held = heldSessions(engine, { onEvent, drive: placed.drive });
  /** By session: what is done once nothing of it is on its hypervisor. */
  const finishing = new Map<string, Promise<Finished | undefined>>();
  const parts = { held, turn, placed, finishing };
  const resumption = resumptionOf(engine, parts, { ...options, onEvent });
  function onOver(it: Kept): void {
    const { session } = it.running.ready;
    resumption.finish(session, async () => {
      if (held.closing.signal.aborted || held.kept.get(session) !== it) return undefined;
      await held.end(session);
      return placed.finish(session, it.secrets);
    });
  }
  function runningHere(id: string): Kept {
    const it = held.kept.get(id);
    if (it) return it;
    throw new SessionError('IMPOSSIBLE', `session ${id} is not run by the service`);
  }
  const view = placedView(placed, {
    kept: held.kept,
    ended: async (session) =>
      (await finishing.get(session)) ??
      notEnded(session, held.closing.signal, resumption.waiting.get(session)),
  });
  async function resumeAll(): Promise<void> {
    await resumption.resumeAll();
    placed.start();
  }
  const whyWaiting = (id: string): string | undefined =>
    resumption.waiting.get(id) ?? view.problem(id);
  const running: RunningHere = {
    overlay: (id) => held.kept.get(id)?.running.overlay(),
    machine: (id) => held.kept.get(id)?.running.machine,
    driven: (id) => view.of(id),
  };
  return {
    placed: view,
    counts: () => ({ running: held.kept.size, waiting: resumption.waiting.size }),
    ...running,
    whyWaiting,
    waiting: () => resumption.waiting,
    damaged: () => damagedIn(held.kept),
    async log(id) {
      await sessionStatus(engine.store, id);
      return records.of(id).lines();
    },
    exports: () =>
      [...held.kept].flatMap(([session, { running }]) =>
        running.exports.map((it) => exportOf(session, it)),
      ),
    traffic: () => held.traffic(),
    async recover() {
      await removeLeft(engine, onEvent);
      await resumeAll();
    },
    resumeAll,
    async start(request, { secrets, signal }) {
      const { what } = request;
      const run = (): Promise<Kept> => held.run(request, secrets, signal);
      const it = await (what.kind === 'resume' ? turn(what.session, run) : run());
      const { ready } = it.running;
      resumption.waiting.delete(ready.session);
      onEvent({ kind: 'started', session: ready.session });
      return ready;
    },
    stop: (id) =>
      turn(id, async () => {
        const here = held.kept.get(id)?.running.parts.held;
        const { record } = here ?? (await sessionStatus(engine.store, id));
        if (!here && !(await isServed(engine.store, id))) runningHere(id);
        refusePlaced(record);
        // First: a crash from now on leaves it stopped, as requested.
        await unserve(engine, id, onEvent);
        resumption.waiting.delete(id);
        await held.end(id);
        onEvent({ kind: 'stopped', session: id });
      }),
    told: (id, event) => records.told(id, event),
    ended: (session, how) => onEvent({ kind: 'ended', session, how }),
    follow(id, report, signal) {
      const look = () => followedState(engine, id, { ...running, whyWaiting });
      const { clock } = engine.store;
      return followSession(id, { ...records.of(id), look }, { clock, report, signal });
    },
    attend: async (id, report, signal) => attended(runningHere(id), report, signal),
    async [Symbol.asyncDispose]() {
      // Connections last: sessions that are carried on use them.
      await using _placed = placed;
      await using _held = held;
      held.closing.abort(stopping());
      await resumption.ended();
    },
  };
}

function damagedIn(kept: ReadonlyMap<string, Kept>): ReadonlyMap<string, readonly Damage[]> {
  const found = [...kept].map(([id, { running }]) => [id, running.damage] as const);
  return new Map(found.filter(([, damage]) => damage.length > 0));
}

/** Resolves once it has ended, or with the signal. */
async function attended({ audience, ended }: Kept, report: Report, signal: AbortSignal) {
  audience.add(report);
  await Promise.allSettled([orAborted(ended.promise, signal)]);
  audience.delete(report);
}

/** Throws IMPOSSIBLE. */
function refusePlaced({ id, placement, phase }: SessionRecord): void {
  if (!placement || isOwn(phase)) return;
  const what = `its machine on ${placement.hypervisor} needs the disks that it serves`;
  const advice = 'discard it, keep it, or let its machine migrate';
  throw new SessionError('IMPOSSIBLE', `session ${id} is not stopped: ${what}: ${advice}`);
}

function exportOf(
  session: string,
  { uri, traffic, clients }: RunningSession['exports'][number],
): SessionExport {
  return {
    ...{ session, uri, ...traffic },
    clients: clients.map(({ address, since, traffic: own }) => ({
      ...{ address: address ?? null, since: since.toISOString(), ...own },
    })),
  };
}

/** Throws IMPOSSIBLE, or the signal's reason. */
function notEnded(session: string, signal: AbortSignal, why = 'see "session list"'): never {
  signal.throwIfAborted();
  throw new SessionError('IMPOSSIBLE', `session ${session} cannot be ended yet: ${why}`);
}

function stopping(): CatalogError {
  return new CatalogError('IN_USE', 'the service is stopping: try again once it runs');
}
