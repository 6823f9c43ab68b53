import {
  isServed,
  markServed,
  readServed,
  servedSessions,
  unmarkServed,
} from '../../sessions/state/served-sessions.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { sessionStatus } from '../../sessions/state/listed-sessions.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import type { Damage } from '../../operations/nouns/backup.ts';
import type { Report } from '../../operations/events.ts';
import type { SessionExport, Traffic } from '../../operations/nouns/service.ts';
import type { ReadySession } from '../../operations/nouns/session.ts';
import { keyedTurns } from '../../lib/mutex.ts';
import { asError } from '../../lib/as-error.ts';
import { forgetSession, servedOrder } from './orders.ts';
import { firstFailure, kindOfFailure } from '../base/failures.ts';
import type { Engine, SecretSource, WorkOptions } from '../base/engine.ts';
import { type LogLine, sessionLog } from './session-log.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { discard, recover, type RecoverRequest, type RunningSession } from './run-session.ts';
import type { RunningHere } from './shown-sessions.ts';

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
  /** Resumes all that ran when the service ended. Failures are reported, not thrown. */
  resumeAll(): Promise<void>;
  /** Reports what happens to the session until it ends, or until `signal`. Rejects IMPOSSIBLE if it does not run. */
  attend(id: string, report: Report, signal: AbortSignal): Promise<void>;
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
}

export interface SupervisorOptions {
  /** Secrets available without asking; rejects WRONG_KEY otherwise. */
  readonly secrets: SecretSource;
  readonly onEvent: (event: SupervisorEvent) => void;
}

export type SupervisorEvent =
  | { readonly kind: 'resumed' | 'started' | 'stopped'; readonly session: string }
  | { readonly kind: 'waits'; readonly session: string; readonly reason: string }
  | { readonly kind: 'notice'; readonly session: string; readonly message: string };

/** How soon a session that could not be resumed is tried again. */
const RETRY_MS = 15_000;
/** Sessions that are resumed at once: each reads a manifest and opens overlays. */
const RESUME_AT_ONCE = 4;

interface Kept {
  readonly running: RunningSession;
  readonly audience: Set<Report>;
  readonly ended: PromiseWithResolvers<void>;
}

export function sessionSupervisor(engine: Engine, options: SupervisorOptions): SessionSupervisor {
  const log = sessionLog(engine.store.clock);
  const onEvent = (event: SupervisorEvent): void => {
    log.note(event.session, wordsOf(event));
    options.onEvent(event);
  };
  const turn = keyedTurns();
  const held = heldSessions(engine, onEvent);
  const resumption = resumptionOf(engine, { held, turn }, { ...options, onEvent });
  function runningHere(id: string): Kept {
    const it = held.kept.get(id);
    if (it) return it;
    throw new SessionError('IMPOSSIBLE', `session ${id} is not run by the service`);
  }
  return {
    counts: () => ({ running: held.kept.size, waiting: resumption.waiting.size }),
    whyWaiting: (id) => resumption.waiting.get(id),
    waiting: () => resumption.waiting,
    overlay: (id) => held.kept.get(id)?.running.overlay(),
    machine: (id) => held.kept.get(id)?.running.machine,
    damaged: () =>
      new Map(
        [...held.kept].flatMap(([id, { running }]) =>
          running.damage.length > 0 ? [[id, running.damage] as const] : [],
        ),
      ),
    async log(id) {
      await sessionStatus(engine.store, id);
      return log.lines(id);
    },
    exports: () =>
      [...held.kept].flatMap(([session, { running }]) =>
        running.exports.map((it) => exportOf(session, it)),
      ),
    traffic: () => held.traffic(),
    resumeAll: () => resumption.resumeAll(),
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
        if (!held.kept.has(id)) {
          await sessionStatus(engine.store, id);
          if (!(await isServed(engine.store, id))) runningHere(id);
        }
        // First: a crash from now on leaves it stopped, as requested.
        await unserve(engine, id, onEvent);
        resumption.waiting.delete(id);
        await held.end(id);
        onEvent({ kind: 'stopped', session: id });
      }),
    async attend(id, report, signal) {
      const it = runningHere(id);
      it.audience.add(report);
      const left = Promise.withResolvers<void>();
      const leave = (): void => left.resolve();
      signal.addEventListener('abort', leave, { once: true });
      if (signal.aborted) leave();
      await Promise.race([it.ended.promise, left.promise]);
      signal.removeEventListener('abort', leave);
      it.audience.delete(report);
    },
    async [Symbol.asyncDispose]() {
      await using _held = held;
      held.closing.abort(stopping());
      await resumption.ended();
    },
  };
}

/** Running sessions. Disposing flushes all, even if one fails. */
interface HeldSessions extends AsyncDisposable {
  readonly kept: ReadonlyMap<string, Kept>;
  /** When aborted, nothing new begins. */
  readonly closing: AbortController;
  /** Traffic, including sessions that have ended. */
  traffic(): Traffic;
  /** Runs a session; if `signal` comes too late, it runs. */
  run(request: RecoverRequest, secrets: SecretSource, signal?: AbortSignal): Promise<Kept>;
  /** Flushes and ends it; does nothing if it does not run. */
  end(id: string): Promise<void>;
}

function heldSessions(engine: Engine, onEvent: SupervisorOptions['onEvent']): HeldSessions {
  const kept = new Map<string, Kept>();
  const closing = new AbortController();
  let past: Traffic = { readBytes: 0, writtenBytes: 0 };
  /** Starts and stops under way: awaited before everything is closed. */
  const underWay = new Set<Promise<unknown>>();

  function tracked<T>(work: Promise<T>): Promise<T> {
    const settled: Promise<void> = work.then(
      () => void underWay.delete(settled),
      () => void underWay.delete(settled),
    );
    underWay.add(settled);
    return work;
  }
  async function run(
    request: RecoverRequest,
    secrets: SecretSource,
    asking?: AbortSignal,
  ): Promise<Kept> {
    const signal = asking ? AbortSignal.any([closing.signal, asking]) : closing.signal;
    signal.throwIfAborted();
    const { what } = request;
    const wasServed = what.kind === 'resume' && (await isServed(engine.store, what.session));
    const audience = new Set<Report>();
    let id: string | undefined;
    const running = await recover(engine, request, {
      ...{ secrets, signal },
      report(event) {
        for (const report of audience) report(event);
        if (event.event === 'notice' && id !== undefined) {
          onEvent({ kind: 'notice', session: id, message: event.message });
        }
      },
    });
    const session = running.ready.session;
    id = session;
    // If the caller has gone, everything is undone: no session may remain that no one knows about.
    await using undo = new AsyncDisposableStack();
    const tell = (message: string): void => onEvent({ kind: 'notice', session, message });
    if (what.kind === 'point') undo.defer(() => discard(engine, session, tell));
    if (!wasServed) undo.defer(() => unserve(engine, session, onEvent));
    undo.use(running);
    signal.throwIfAborted();
    // Before it is reported as running: from then on a crash must not lose it.
    await markServed(engine.store, session, { tls: request.tls });
    await rememberServed(engine, session, request.tls, onEvent);
    signal.throwIfAborted();
    undo.move();
    const it = { running, audience, ended: Promise.withResolvers<void>() };
    kept.set(session, it);
    return it;
  }
  async function end(id: string, it: Kept): Promise<void> {
    kept.delete(id);
    past = sum([past, ...it.running.exports.map(({ traffic }) => traffic)]);
    try {
      await it.running[Symbol.asyncDispose]();
    } finally {
      it.ended.resolve();
    }
  }
  return {
    kept,
    closing,
    traffic: () =>
      sum([
        past,
        ...[...kept.values()].flatMap(({ running }) =>
          running.exports.map(({ traffic }) => traffic),
        ),
      ]),
    run: (request, secrets, signal) => tracked(run(request, secrets, signal)),
    async end(id) {
      const it = kept.get(id);
      if (it) await tracked(end(id, it));
    },
    async [Symbol.asyncDispose]() {
      while (underWay.size > 0) await Promise.all(underWay);
      const ends = await Promise.allSettled([...kept].map(([id, it]) => end(id, it)));
      const failed = ends.flatMap((it) => (it.status === 'rejected' ? [it.reason as unknown] : []));
      if (failed.length > 0) throw new AggregateError(failed, 'sessions could not be flushed');
    },
  };
}

/** Resumes the sessions that ran before, and keeps trying. */
function resumptionOf(
  engine: Engine,
  {
    held: { kept, closing, run },
    turn,
  }: { readonly held: HeldSessions; readonly turn: ReturnType<typeof keyedTurns> },
  { secrets, onEvent }: SupervisorOptions,
) {
  const { signal } = closing;
  const waiting = new Map<string, string>();
  let retrying: Promise<void> | undefined;

  /** Runs in its turn. */
  async function resume(id: string): Promise<void> {
    try {
      // It may have been started or stopped in the meantime.
      if (kept.has(id) || !(await isServed(engine.store, id))) return void waiting.delete(id);
      const served = await readServed(engine.store, id);
      // Another record may have been written in the meantime.
      if (!(await engine.memory.look()).isOurs(servedOrder(id, served))) {
        return void waiting.delete(id);
      }
      const { tls } = served;
      const what = { kind: 'resume', session: id } as const;
      await run({ what, listen: undefined, nfs: undefined, tls }, secrets);
      waiting.delete(id);
      onEvent({ kind: 'resumed', session: id });
    } catch (thrown) {
      if (signal.aborted) return;
      const cause = firstFailure(thrown);
      if (kindOfFailure(cause) === undefined) throw thrown;
      const reason = asError(cause).message;
      const before = waiting.get(id);
      waiting.set(id, reason);
      if (before !== reason) onEvent({ kind: 'waits', session: id, reason });
    }
  }
  async function resumeAll(): Promise<void> {
    const ids = (await ownServed(engine)).filter((id) => !kept.has(id));
    for (const id of waiting.keys()) if (!ids.includes(id)) waiting.delete(id);
    const queue = ids.values();
    const lanes = Array.from({ length: RESUME_AT_ONCE }, async () => {
      for (const id of queue) if (!signal.aborted) await turn(id, () => resume(id));
    });
    await Promise.all(lanes);
  }
  /** The holder of a session or an address will release it: then no person should have to repeat the request. */
  async function retry(): Promise<void> {
    while (waiting.size > 0) {
      await engine.store.clock.sleep(RETRY_MS, signal);
      try {
        await resumeAll();
      } catch (cause) {
        // A disk that cannot be listed now may work in a while; other sessions run.
        if (kindOfFailure(firstFailure(cause)) === undefined) throw cause;
      }
    }
  }
  return {
    waiting,
    async resumeAll(): Promise<void> {
      await resumeAll();
      retrying ??= retry()
        .catch((cause: unknown) => {
          if (!signal.aborted) throw cause;
        })
        .finally(() => (retrying = undefined));
    },
    async ended(): Promise<void> {
      await retrying;
    },
  };
}

/** Sessions that this box itself started; others in the store wait for a person: see adoption.ts. */
async function ownServed(engine: Engine): Promise<string[]> {
  const { isOurs } = await engine.memory.look();
  const found: string[] = [];
  for (const id of await servedSessions(engine.store)) {
    try {
      if (isOurs(servedOrder(id, await readServed(engine.store, id)))) found.push(id);
    } catch (cause) {
      if (!(cause instanceof SessionError || cause instanceof SystemError)) throw cause;
      // It should run, as far as the box knows: the reason why it cannot is reported when it is resumed.
      found.push(id);
    }
  }
  return found;
}

/** A session that cannot be recorded runs nevertheless, until the next start of the service. */
async function rememberServed(
  { memory }: Engine,
  session: string,
  tls: RecoverRequest['tls'],
  onEvent: SupervisorOptions['onEvent'],
): Promise<void> {
  try {
    await memory.settle([servedOrder(session, { tls })]);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const message = `this box cannot record that it runs the session: ${cause.message}`;
    onEvent({ kind: 'notice', session, message });
  }
}

/** Ensures that the next start does not resume it. */
async function unserve(
  engine: Engine,
  session: string,
  onEvent: SupervisorOptions['onEvent'],
): Promise<void> {
  await unmarkServed(engine.store, session);
  const tell = (message: string): void => onEvent({ kind: 'notice', session, message });
  await forgetSession(engine.memory, session, { kinds: ['served'], tell });
}

function wordsOf(event: SupervisorEvent): string {
  if (event.kind === 'waits') return `cannot be resumed yet: ${event.reason}`;
  return event.kind === 'notice' ? event.message : event.kind;
}

function sum(parts: readonly Traffic[]): Traffic {
  return {
    readBytes: parts.reduce((total, it) => total + it.readBytes, 0),
    writtenBytes: parts.reduce((total, it) => total + it.writtenBytes, 0),
  };
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

function stopping(): CatalogError {
  return new CatalogError('IN_USE', 'the service is stopping: try again once it runs');
}
