import type { PlacedDebt } from '../../formats/store/sessions/debt.ts';
import type { PlacementWait, StopHow } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { Report } from '../../operations/events.ts';
import type { KeptSession } from '../../operations/nouns/session.ts';
import { isHost } from '../../sessions/placed/host-step.ts';
import type { PlacedRequest } from '../../sessions/placed/placed-requests.ts';
import { placementOf } from '../../sessions/placed/placed-steps.ts';
import { withMoved } from '../../sessions/placed/run-turn.ts';
import { changeStopped } from '../../sessions/state/held-session.ts';
import { sessionStatus } from '../../sessions/state/listed-sessions.ts';
import { readJournal, sessionIds } from '../../sessions/state/session-files.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import type { keyedTurns } from '../../lib/mutex.ts';
import type { Engine, SecretSource, WorkOptions } from '../base/engine.ts';
import type { Hypervisors } from '../hypervisors/hypervisors.ts';
import type { Kept } from './held-sessions.ts';
import { unserve } from './own-served.ts';
import { orAborted } from '../../lib/or-aborted.ts';
import { type Connections, openConnections } from './placed/connections.ts';
import { writeRates } from './placed/downtime.ts';
import { collectDebts, type Owed, owe } from './placed/owed.ts';
import { type DrivenSession, driveSession } from './placed/driven-session.ts';
import { discard } from './run-session.ts';
import type { OnEvent } from './session-events.ts';

/*
 * Sessions that have a machine on a hypervisor: each is carried on from phase to phase until nothing of it is there.
 * Then it is kept, or removed, like every other session.
 */
export interface PlacedSessions extends AsyncDisposable {
  readonly connections: Connections;
  owed(): readonly Owed[];
  /** Tries to collect what is owed now. */
  collect(): void;
  /** What the session has left on its hypervisor stays there. */
  forgive(session: string): Promise<void>;
  drive(it: Kept): DrivenSession | undefined;
  /** Whether all that is left of it is to be kept, or removed. */
  isEnding(record: SessionRecord): boolean;
  /** Ends a session that no process holds. */
  finish(id: string, secrets?: SecretSource): Promise<Finished>;
  /** Collects what was given up. */
  start(): void;
}

/** What has become of a session of whose machine nothing is on its hypervisor. */
export type Finished =
  | ({ readonly how: 'kept' } & Pick<KeptSession, 'point' | 'damage'>)
  | { readonly how: 'discarded' | 'moved' }
  /** It was not kept, and is an ordinary one. */
  | { readonly how: undefined };

export interface PlacedOptions {
  readonly hypervisors: () => Promise<Hypervisors>;
  /** The service's own. */
  readonly secrets: SecretSource;
  readonly onEvent: OnEvent;
  /** Makes a recovery point of a session, and removes it. */
  readonly keep: (session: string, options: WorkOptions) => Promise<KeptSession>;
  readonly kept: () => ReadonlyMap<string, Kept>;
  /** By session: what changes it happens one after the other. */
  readonly turn: ReturnType<typeof keyedTurns>;
  /** Aborted when the service ends. */
  readonly signal: () => AbortSignal;
  /** Nothing of it is on its hypervisor. */
  readonly onOver: (it: Kept) => void;
}

export function placedSessions(engine: Engine, options: PlacedOptions): PlacedSessions {
  const { store } = engine;
  const { onEvent, keep } = options;
  const closing = new AbortController();
  const connections = openConnections({
    hypervisors: options.hypervisors,
    owner: store.id,
    onEvent(hypervisor, event) {
      for (const { driven } of options.kept().values()) {
        if (driven && hypervisorOf(driven) === hypervisor) driven.noted(event);
      }
    },
  });
  const rates = writeRates();
  const debts = collectDebts(engine, {
    connections,
    signal: closing.signal,
    tell: (session, message) => onEvent({ kind: 'notice', session, message }),
  });

  async function releaseUnused(hypervisor: string | undefined): Promise<void> {
    const used = [...options.kept().values()].map(({ driven }) => driven && hypervisorOf(driven));
    if (hypervisor !== undefined && !used.includes(hypervisor)) {
      await connections.release(hypervisor);
    }
  }

  return {
    ...{ connections, isEnding },
    owed: () => debts.owed(),
    collect: () => debts.wake(),
    forgive: (session) => debts.forgive(session),
    drive(it) {
      const { parts, ready } = it.running;
      const { session } = ready;
      const { placement, phase } = parts.held.record;
      if (!placement || !isHost(phase)) return undefined;
      const notice = (message: string): void => {
        for (const report of it.audience) report({ event: 'notice', message });
        onEvent({ kind: 'notice', session, message });
      };
      return driveSession(parts, {
        ...{ clock: store.clock, connections, rates, onLog: notice },
        async owe(debt: PlacedDebt) {
          await owe(engine, debt);
          debts.wake();
        },
        other: (id) => readJournal(store, id),
        onOver: () => options.onOver(it),
      });
    },
    async finish(id, secrets = options.secrets) {
      const tell = (message: string): void => onEvent({ kind: 'notice', session: id, message });
      const report: Report = (event) => {
        if (event.event === 'notice') tell(event.message);
      };
      const { record } = await sessionStatus(store, id);
      let end: Finished = { how: undefined };
      if (record.phase === 'keeping') {
        const kept = await keep(id, { secrets, signal: options.signal(), report });
        end = { ...kept, how: 'kept' };
      } else if (record.phase === 'cleaning') {
        end = { how: record.placement?.goal === 'move' ? 'moved' : 'discarded' };
        if (end.how === 'moved') await noteMoved(store, options, record);
        await discard(engine, id, tell);
      } else {
        await unserve(engine, id, onEvent);
        tell('it was not kept, and waits for a decision: resume it, keep it or discard it');
      }
      onEvent({ kind: 'ended', session: id, how: end.how });
      await releaseUnused(record.placement?.hypervisor);
      return end;
    },
    start: () => debts.start(),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await debts[Symbol.asyncDispose]();
      await connections[Symbol.asyncDispose]();
    },
  };
}

/** Machines that start after it may look only once its session is gone. Their journals are all that they go by. */
async function noteMoved(
  store: Engine['store'],
  { kept, turn }: Pick<PlacedOptions, 'kept' | 'turn'>,
  before: SessionRecord,
): Promise<void> {
  if (!before.placement?.run) return;
  const note = (it: SessionRecord): SessionRecord => withMoved(it, before, store.clock.now());
  for (const id of await sessionIds(store)) {
    if (!(await startsAfter(store, id, before.id))) continue;
    // It may be about to be resumed. Turns are waited for along a run only, so that none waits for itself.
    await turn(id, async () => {
      const here = kept().get(id);
      await (here ? here.running.parts.held.change(note) : changeStopped(store, id, note));
    });
  }
}

async function startsAfter(store: Engine['store'], id: string, before: string): Promise<boolean> {
  try {
    return (await readJournal(store, id))?.placement?.run?.after === before;
  } catch (cause) {
    // A damaged journal tells nothing, also not to those who start its machine.
    if (!(cause instanceof SessionError) || cause.code !== 'CORRUPT') throw cause;
    return false;
  }
}

const hypervisorOf = ({ record }: DrivenSession): string => placementOf(record).hypervisor;

function isEnding({ placement, phase }: SessionRecord): boolean {
  return placement !== undefined && (phase === 'keeping' || phase === 'cleaning');
}

/** What operations ask of sessions that have a machine on a hypervisor. */
export interface PlacedView {
  readonly connections: Connections;
  of(id: string): DrivenSession | undefined;
  /** Why it waits, or its steps are not taken. */
  problem(id: string): string | undefined;
  /** Those that wait. */
  waits(): ReadonlyMap<string, PlacementWait>;
  owed(): readonly Owed[];
  /** Tries to collect what is owed now. */
  collect(): void;
  /** What the session has left on its hypervisor stays there. */
  forgive(session: string): Promise<void>;
  /** Rejects IMPOSSIBLE. */
  ask(id: string, request: PlacedRequest): Promise<void>;
  /** Rejects IMPOSSIBLE, HypervisorError. */
  power(id: string, how: 'on' | StopHow): Promise<void>;
  /**
   * Resolves once it is what was waited for (`undefined`), or over; with what it waits for instead, if a person should
   * know that: it goes on none the less. Rejects with the signal's reason; IMPOSSIBLE if it is over, and cannot be
   * ended yet; IN_USE if the service stops before it has ended.
   */
  follow(id: string, options: FollowOptions): Promise<FollowedTo>;
}

export type FollowedTo =
  | { readonly kind: 'waits'; readonly waits: PlacementWait }
  | { readonly kind: 'ended'; readonly end: Finished }
  | undefined;

export interface FollowOptions {
  readonly signal: AbortSignal;
  readonly report: Report;
  readonly until?: (record: SessionRecord) => boolean;
}

export function placedView(
  { connections, owed, collect, forgive }: PlacedSessions,
  {
    kept,
    ended,
  }: {
    readonly kept: ReadonlyMap<string, Kept>;
    /** Once what is under way to end it is done. Rejects as `follow` does. */
    readonly ended: (session: string) => Promise<Finished>;
  },
): PlacedView {
  const of = (id: string): DrivenSession | undefined => kept.get(id)?.driven;
  function mustBe(id: string): DrivenSession {
    const it = of(id);
    if (it) return it;
    const why = kept.has(id)
      ? 'it has no machine on a hypervisor'
      : `the service does not run it: see "session show ${id}"`;
    throw new SessionError('IMPOSSIBLE', `session ${id}: ${why}`);
  }
  return {
    ...{ connections, owed, collect, forgive, of },
    problem: (id) => of(id)?.problem() ?? waitOf(of(id))?.message,
    waits: () =>
      new Map(
        [...kept].flatMap(([id, { driven }]) => {
          const waits = waitOf(driven);
          return waits ? [[id, waits] as const] : [];
        }),
      ),
    async ask(id, request) {
      const it = mustBe(id);
      // Others use that connection, too.
      if (request.kind === 'retry' && waitOf(it)) await it.reconnect();
      await it.ask(request);
    },
    power: async (id, how) => mustBe(id).power(how),
    async follow(id, options) {
      const it = kept.get(id);
      const waits = it && (await followed(it, options));
      if (waits) return { kind: 'waits', waits };
      if (it?.driven && isHost(it.driven.record.phase)) return undefined;
      if (it?.driven) await orAborted(it.driven.stopped, options.signal);
      options.signal.throwIfAborted();
      return { kind: 'ended', end: await orAborted(ended(id), options.signal) };
    },
  };
}

async function followed(
  { audience, driven }: Kept,
  { signal, report, until }: FollowOptions,
): Promise<PlacementWait | undefined> {
  if (!driven) return undefined;
  audience.add(report);
  try {
    for (;;) {
      const { record } = driven;
      if (!isHost(record.phase) || until?.(record)) return undefined;
      const waits = waitOf(driven);
      // A guest that shuts down needs its time.
      if (waits && waits.reason !== 'machine-off' && waits.reason !== 'busy') return waits;
      await driven.changed(signal);
    }
  } finally {
    audience.delete(report);
  }
}

function waitOf(driven: DrivenSession | undefined): PlacementWait | undefined {
  return driven && placementOf(driven.record).waits;
}
