import type { StopHow } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { turns } from '../../lib/mutex.ts';
import { SessionError } from '../state/session-error.ts';
import { afterFailure, AT_ONCE, findMachine, isHost, PERSON_MS, stepThere } from './host-step.ts';
import { type Progress, progressOf, stateOf } from './placed-progress.ts';
import { type PlacedRequest, request } from './placed-requests.ts';
import { afterEvent } from './placed-state.ts';
import { placementOf } from './placed-steps.ts';
import type { Pause, PlacedWorld } from './placed-world.ts';

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

export function placedSession(world: PlacedWorld): PlacedSession {
  const { journal, clock } = world;
  const inTurn = turns();
  const progress = progressOf(world);
  /** Ends the step under way, or the pause after it. */
  let current = new AbortController();

  async function takeStep(outer: AbortSignal): Promise<Pause> {
    outer.throwIfAborted();
    const { record } = journal;
    const { phase } = record;
    if (phase === 'ready') return { kind: 'over' };
    if (!isHost(phase)) return stepHere(progress, phase);
    // What a person has to decide is not tried again; a machine that runs is looked after none the less.
    const { waits } = placementOf(record);
    if (waits?.reason === 'person' && phase !== 'running') return { kind: 'later', ms: PERSON_MS };
    if (current.signal.aborted) current = new AbortController();
    const inner = current.signal;
    try {
      return await stepThere(progress, phase, AbortSignal.any([outer, inner]));
    } catch (cause) {
      outer.throwIfAborted();
      if (inner.aborted) return AT_ONCE;
      return afterFailure(progress, cause);
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
    ask(asked) {
      session.wake();
      const done = inTurn(() => request(progress, asked));
      // A pause may have begun in between.
      return done.finally(() => session.wake());
    },
    power: (how) =>
      inTurn(async () => {
        await setPower(world, how);
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

/** The step of a phase in which the hypervisor has nothing of the session. */
async function stepHere(
  { world, apply }: Progress,
  phase: 'preparing' | 'keeping' | 'cleaning',
): Promise<Pause> {
  const { own, log, journal } = world;
  const { record } = journal;
  if (phase === 'preparing') await own.prepare(record);
  if (phase === 'keeping') {
    const failure = await own.publish(record);
    if (failure !== undefined) {
      log(`it was not kept: ${failure}`);
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

async function setPower(world: PlacedWorld, how: 'on' | StopHow): Promise<void> {
  const { signal } = new AbortController();
  const { record } = world.journal;
  const next = afterEvent(stateOf(record), 'power');
  if (next.kind === 'refused') {
    throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${next.why}`);
  }
  const driver = await world.driver(signal);
  const machine = await findMachine(world, driver, signal);
  if (!machine) throw new SessionError('NOT_FOUND', `session ${record.id} has no machine`);
  await (how === 'on' ? driver.start(machine, signal) : driver.stop(machine, how, signal));
}
