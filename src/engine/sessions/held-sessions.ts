import { isServed, markServed } from '../../sessions/state/served-sessions.ts';
import type { Report } from '../../operations/events.ts';
import type { Traffic } from '../../operations/nouns/service.ts';
import type { Engine, SecretSource } from '../base/engine.ts';
import { rememberServed, unserve } from './own-served.ts';
import type { DrivenSession } from './placed/driven-session.ts';
import {
  discard,
  place as placeSession,
  recover,
  type RecoverRequest,
  type RunningSession,
} from './run-session.ts';
import type { OnEvent } from './session-events.ts';

export interface Kept {
  readonly running: RunningSession;
  readonly audience: Set<Report>;
  /** Those of the person who started it, or the service's own. */
  readonly secrets: SecretSource;
  readonly ended: PromiseWithResolvers<void>;
  /** Undefined: no machine on a hypervisor uses its disks. */
  driven: DrivenSession | undefined;
}

/** Running sessions. Disposing flushes all, even if one fails. */
export interface HeldSessions extends AsyncDisposable {
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

/** `drive`: carries on a session whose machine is on a hypervisor. */
export function heldSessions(
  engine: Engine,
  {
    onEvent,
    drive,
  }: { readonly onEvent: OnEvent; readonly drive: (it: Kept) => DrivenSession | undefined },
): HeldSessions {
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
    const tellAll: Report = (event) => {
      for (const report of audience) report(event);
      if (event.event === 'notice' && id !== undefined) {
        onEvent({ kind: 'notice', session: id, message: event.message });
      }
    };
    const options = { secrets, signal, report: tellAll };
    const running = await recover(engine, request, { ...options, drives: true });
    const session = running.ready.session;
    id = session;
    // If the caller has gone, everything is undone: no session may remain that no one knows about.
    await using undo = new AsyncDisposableStack();
    const tell = (message: string): void => onEvent({ kind: 'notice', session, message });
    if (what.kind === 'point') undo.defer(() => discard(engine, session, tell));
    if (!wasServed) undo.defer(() => unserve(engine, session, onEvent));
    undo.use(running);
    const place = what.kind === 'point' ? what.place : undefined;
    const placement = await place?.plan(running.parts, options);
    signal.throwIfAborted();
    // Before it is reported as running: from then on a crash must not lose it.
    await markServed(engine.store, session, { tls: request.tls });
    await rememberServed(engine, session, request.tls, onEvent);
    signal.throwIfAborted();
    // Last: from then on only its hypervisor says when it may be removed.
    if (placement) await placeSession(engine, running, { placement, report: tellAll });
    undo.move();
    const ended = Promise.withResolvers<void>();
    const it: Kept = { running, audience, secrets, ended, driven: undefined };
    kept.set(session, it);
    it.driven = drive(it);
    return it;
  }
  async function end(id: string, it: Kept): Promise<void> {
    kept.delete(id);
    past = sum([past, ...it.running.exports.map(({ traffic }) => traffic)]);
    try {
      await it.driven?.[Symbol.asyncDispose]();
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

function sum(parts: readonly Traffic[]): Traffic {
  return {
    readBytes: parts.reduce((total, it) => total + it.readBytes, 0),
    writtenBytes: parts.reduce((total, it) => total + it.writtenBytes, 0),
  };
}
