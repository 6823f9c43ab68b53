import {
  type Placement,
  PLACEMENT_TEXT_MAX,
  type StopHow,
  type WaitReason,
} from '../../formats/store/sessions/placement.ts';
import type { PlacedPhase, SessionRecord } from '../../formats/store/sessions/session.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { Look, PlacedMachine, RunDriver } from '../../hypervisors/base/run-driver.ts';
import { turns } from '../../lib/mutex.ts';
import { SessionError } from '../state/session-error.ts';
import { placedDisks, seenOf } from './placed-look.ts';
import { afterEvent, afterLook, type PlacedEvent, type PlacedState } from './placed-state.ts';
import {
  changePlacement,
  copy,
  leave,
  type PhaseMemory,
  pivot,
  place,
  placementOf,
  settle,
  stay,
  type StepContext,
  withdraw,
} from './placed-steps.ts';
import type { PlacedWorld, StepResult } from './placed-world.ts';

/*
 * Carries a placed session from phase to phase. The journal is the intention, the hypervisor the truth: each step
 * begins with a look at the machine, so that after any interruption the process that finds the journal continues, and
 * no person has to be there. While the hypervisor is away the session waits, and its exports serve on.
 */
export interface PlacedSession {
  readonly record: SessionRecord;
  /** What a person asks for: journaled, the steps follow. Rejects IMPOSSIBLE with the reason. */
  ask(request: PlacedRequest): Promise<void>;
  /** Starts or stops the machine; power-off is no end. Rejects IMPOSSIBLE, HypervisorError. */
  power(how: 'on' | StopHow): Promise<void>;
  /** Takes the next step. Rejects with what the journal or the work here rejects with, or the signal's reason. */
  step(signal: AbortSignal): Promise<Pause>;
  /** Until the session is over, or an ordinary one again. Rejects with the signal's reason. */
  run(signal: AbortSignal): Promise<void>;
  /** Something may have changed on the hypervisor, or it is back: the next step is taken at once. */
  wake(): void;
}

export type PlacedRequest =
  | { readonly kind: 'discard'; readonly stop?: StopHow }
  | { readonly kind: 'keep'; readonly as: string; readonly stop?: StopHow }
  /** `pool`: undefined: the one that was chosen. */
  | { readonly kind: 'move'; readonly pool?: string }
  | { readonly kind: 'cancel-move' }
  /** `name`: typed by the person: the machine's. */
  | { readonly kind: 'abandon'; readonly name: string }
  | { readonly kind: 'retry' };

/** `over`: there is nothing left to do. */
export type Pause = { readonly kind: 'later'; readonly ms: number } | { readonly kind: 'over' };

type HostPhase = Exclude<PlacedPhase, 'preparing' | 'keeping' | 'cleaning'>;

const STEPS = {
  placing: place,
  running: stay,
  copying: copy,
  pivoting: pivot,
  settling: settle,
  leaving: leave,
  withdrawing: withdraw,
} as const satisfies Record<HostPhase, (context: StepContext) => Promise<StepResult>>;

const AWAY_FIRST_MS = 30_000;
const AWAY_LONGEST_MS = 600_000;
const BUSY_MS = 5000;
const NO_SPACE_MS = 60_000;
const LOOK_AGAIN_MS = 15_000;
const PERSON_MS = 600_000;
/** A failure that may have been one of the moment is repeated so often before a person is needed. */
const FAILURES_MAX = 3;
const AT_ONCE: Pause = { kind: 'later', ms: 0 };

export function placedSession(world: PlacedWorld): PlacedSession {
  const { journal, clock, own } = world;
  const inTurn = turns();
  let memory: PhaseMemory = {};
  let failures = 0;
  let awayMs = AWAY_FIRST_MS;
  /** Ends the step under way, or the pause after it. */
  let current = new AbortController();

  async function apply(event: PlacedEvent, change: Partial<Placement> = {}): Promise<void> {
    const { record } = journal;
    const next = afterEvent(stateOf(record), event);
    if (next.kind === 'refused') {
      throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${next.why}`);
    }
    // Nothing is left that could say so.
    if (next.phase !== 'gone') await enter(next.phase, { goal: next.goal, ...change });
  }

  async function enter(
    phase: PlacedPhase | 'ready',
    change: Partial<Placement>,
    keepAs?: string,
  ): Promise<void> {
    const before = journal.record.phase;
    await journal.change((record) => {
      const placement = { ...placementOf(record), waits: undefined, ...change };
      const isKept = placement.goal === 'keep';
      return {
        ...record,
        phase,
        placement,
        keepAs: isKept ? (record.keepAs ?? keepAs) : undefined,
      };
    });
    failures = 0;
    if (phase === before) return;
    memory = {};
    world.log(`${before} -> ${phase}`);
  }

  async function ask(request: PlacedRequest): Promise<void> {
    const { record } = journal;
    const state = stateOf(record);
    const next = afterEvent(state, request.kind);
    if (next.kind === 'refused' || next.phase === 'gone') {
      const why = next.kind === 'refused' ? next.why : 'it is over';
      throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${why}`);
    }
    const change: Partial<Placement> = { goal: next.goal };
    switch (request.kind) {
      case 'discard':
        return enter(next.phase, { ...change, ...stopOf(request) });
      case 'keep':
        return enter(next.phase, { ...change, ...stopOf(request) }, request.as);
      case 'move':
        return enter(next.phase, { ...change, ...poolFor(record, request.pool), lostCopies: 0 });
      case 'cancel-move':
        // The step that follows ends the copies; it may be the one of a phase that was there before.
        memory = {};
        return enter(next.phase, change);
      case 'retry':
        return enter(next.phase, { ...change, lostCopies: 0 });
      case 'abandon':
        await abandon(record, request.name);
        return enter(next.phase, change);
    }
  }

  /** What is left is remembered before anything here is given up. */
  async function abandon(record: SessionRecord, typed: string): Promise<void> {
    const { plan, hypervisor, machine, aside, disks } = placementOf(record);
    if (typed !== plan.name) {
      const what = `"${typed}" is not the name of its machine, which is given up: "${plan.name}"`;
      throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${what}`);
    }
    const hasMoved = disks.some(({ pivoted }) => pivoted);
    const since = clock.now().toISOString();
    const { id: session } = record;
    await own.owe({ session, hypervisor, since, machine, uuid: plan.uuid, aside, hasMoved });
    await own.endExports();
  }

  async function wait(ms: number, reason: WaitReason, message: string): Promise<Pause> {
    const shown = message.slice(0, PLACEMENT_TEXT_MAX);
    const { waits } = placementOf(journal.record);
    if (waits?.reason !== reason || waits.message !== shown) {
      const isSame = waits?.reason === reason;
      const since = isSame ? waits.since : clock.now().toISOString();
      await changePlacement(world, { waits: { reason, since, message: shown } });
      world.log(`waits: ${shown}`);
    }
    return { kind: 'later', ms };
  }

  async function stepHere(phase: 'preparing' | 'keeping' | 'cleaning'): Promise<Pause> {
    const { record } = journal;
    if (phase === 'preparing') await own.prepare(record);
    if (phase === 'keeping') {
      const failure = await own.publish(record);
      if (failure !== undefined) {
        world.log(`it was not kept: ${failure}`);
        await apply('undone');
        return { kind: 'over' };
      }
    }
    if (phase === 'cleaning') {
      await own.clean(record);
      return { kind: 'over' };
    }
    await apply('done');
    return AT_ONCE;
  }

  async function stepThere(phase: HostPhase, signal: AbortSignal): Promise<Pause> {
    const driver = await world.driver(signal);
    const machine = await findMachine(world, driver, signal);
    const look: Look = machine ? await driver.look(machine, signal) : { isThere: false };
    awayMs = AWAY_FIRST_MS;
    await noteLook(look);
    const { record } = journal;
    const next = afterLook(stateOf(record), seenOf(look, record.id, placementOf(record).disks));
    if (next.kind === 'wait') return wait(LOOK_AGAIN_MS, next.reason, next.why);
    if (next.kind === 'next') {
      await enter(next.phase, { goal: next.goal });
      return AT_ONCE;
    }
    const result = await STEPS[phase]({ world, driver, machine, look, memory, signal });
    failures = 0;
    if (result.kind === 'wait') return wait(result.ms, result.reason, result.message);
    await endWait();
    switch (result.kind) {
      case 'done':
        await apply('done');
        return AT_ONCE;
      case 'undone':
        world.log(result.why);
        await apply('undone', phase === 'copying' ? { waits: forPerson(result.why) } : {});
        return AT_ONCE;
      case 'again':
        return AT_ONCE;
      case 'later':
        return result;
    }
  }

  function forPerson(message: string): Placement['waits'] {
    return { reason: 'person', since: clock.now().toISOString(), message };
  }

  async function noteLook(look: Look): Promise<void> {
    const disks = placedDisks(look, placementOf(journal.record).disks);
    await changePlacement(world, { disks });
  }

  /** What a person has to know stays until one has decided; the rest ends by itself. */
  async function endWait(): Promise<void> {
    const { waits } = placementOf(journal.record);
    if (waits && waits.reason !== 'person') await changePlacement(world, { waits: undefined });
  }

  async function afterFailure(cause: unknown): Promise<Pause> {
    if (!(cause instanceof HypervisorError)) throw cause;
    switch (cause.code) {
      case 'UNREACHABLE': {
        const ms = awayMs;
        awayMs = Math.min(awayMs * 2, AWAY_LONGEST_MS);
        return wait(ms, 'away', cause.message);
      }
      case 'BUSY':
        return wait(BUSY_MS, 'busy', cause.message);
      case 'NO_SPACE':
        return wait(NO_SPACE_MS, 'no-space', cause.message);
      case 'FAILED':
      case 'CONFLICT':
      case 'NOT_FOUND':
      case 'EXISTS':
      case 'LOST':
        // Something may have come between the look and what followed: another look tells.
        if (++failures < FAILURES_MAX) return { kind: 'later', ms: BUSY_MS };
        return wait(PERSON_MS, 'person', cause.message);
      case 'AUTH':
      case 'IDENTITY':
      case 'DENIED':
      case 'UNSUPPORTED':
      case 'LICENCE':
        return wait(PERSON_MS, 'person', cause.message);
    }
  }

  async function takeStep(outer: AbortSignal): Promise<Pause> {
    outer.throwIfAborted();
    const { record } = journal;
    const { phase } = record;
    if (phase === 'ready') return { kind: 'over' };
    if (!isHost(phase)) return stepHere(phase);
    // What a person has to decide is not tried again; a machine that runs is looked after none the less.
    const { waits } = placementOf(record);
    if (waits?.reason === 'person' && phase !== 'running') return { kind: 'later', ms: PERSON_MS };
    if (current.signal.aborted) current = new AbortController();
    const inner = current.signal;
    try {
      return await stepThere(phase, AbortSignal.any([outer, inner]));
    } catch (cause) {
      outer.throwIfAborted();
      if (inner.aborted) return AT_ONCE;
      return afterFailure(cause);
    }
  }

  async function pause(ms: number, outer: AbortSignal): Promise<void> {
    if (current.signal.aborted) current = new AbortController();
    const inner = current.signal;
    try {
      await clock.sleep(ms, AbortSignal.any([outer, inner]));
    } catch (cause) {
      outer.throwIfAborted();
      if (!inner.aborted) throw cause;
    }
  }

  const session: PlacedSession = {
    get record() {
      return journal.record;
    },
    ask(request) {
      session.wake();
      const done = inTurn(() => ask(request));
      // A pause may have begun in between.
      return done.finally(() => session.wake());
    },
    power: (how) =>
      inTurn(async () => {
        const { signal } = new AbortController();
        const { record } = journal;
        const next = afterEvent(stateOf(record), 'power');
        if (next.kind === 'refused') {
          throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${next.why}`);
        }
        const driver = await world.driver(signal);
        const machine = await findMachine(world, driver, signal);
        if (!machine) throw new SessionError('NOT_FOUND', `session ${record.id} has no machine`);
        await (how === 'on' ? driver.start(machine, signal) : driver.stop(machine, how, signal));
        session.wake();
      }),
    step: (signal) => inTurn(() => takeStep(signal)),
    async run(signal) {
      for (;;) {
        const next = await session.step(signal);
        if (next.kind === 'over') return;
        if (next.ms > 0) await pause(next.ms, signal);
      }
    },
    wake: () => current.abort(),
  };
  return session;
}

const isHost = (phase: PlacedPhase): phase is HostPhase => Object.hasOwn(STEPS, phase);

function stateOf(record: SessionRecord): PlacedState {
  const { goal, disks, waits } = placementOf(record);
  if (record.phase === 'ready') {
    throw new SessionError('IMPOSSIBLE', `session ${record.id} has no machine any longer`);
  }
  return {
    ...{ phase: record.phase, goal },
    isForward: disks.some(({ pivoted }) => pivoted),
    isWaiting: waits !== undefined,
  };
}

const stopOf = ({ stop }: { readonly stop?: StopHow }): Partial<Placement> =>
  stop ? { stop } : {};

function poolFor(record: SessionRecord, asked: string | undefined): Partial<Placement> {
  const { pool, disks } = placementOf(record);
  if (asked === undefined && pool === undefined) {
    const what = 'no pool was chosen to move its disks to: give one';
    throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${what}`);
  }
  if (asked === undefined || asked === pool) return {};
  if (disks.some(({ reserved }) => reserved !== undefined)) {
    const what = `its disks are reserved in pool "${pool}" already`;
    throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${what}`);
  }
  return { pool: asked };
}

/** The machine by the journal; also one whose ID was lost with an answer. */
async function findMachine(
  world: PlacedWorld,
  driver: RunDriver,
  signal: AbortSignal,
): Promise<PlacedMachine | undefined> {
  const { record } = world.journal;
  const { machine } = placementOf(record);
  if (machine !== undefined) return { id: machine, session: record.id };
  const found = await driver.find(record.id, signal);
  if (found === undefined) return undefined;
  await changePlacement(world, { machine: found });
  return { id: found, session: record.id };
}
