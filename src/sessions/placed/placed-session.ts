import type { StopHow } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { turns } from '../../lib/mutex.ts';
import { isAway } from '../../hypervisors/base/hypervisor-error.ts';
import { SessionError } from '../state/session-error.ts';
import {
  afterCareFailure,
  afterFailure,
  AT_ONCE,
  careThere,
  findMachine,
  isHost,
  PERSON_MS,
  stepThere,
} from './host-step.ts';
import { progressOf, stateOf } from './placed-progress.ts';
import { judge, type PlacedRequest, request } from './placed-requests.ts';
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
  /** Takes the next step. Rejects with what the journal, or the work here, rejects with, or the signal's reason. */
  step(signal: AbortSignal): Promise<Pause>;
  /** Until it is over. Rejects with the signal's reason, or what a step rejects with. */
  run(signal: AbortSignal): Promise<void>;
  /** Something may have changed on the hypervisor, or it is back: the next step is taken without a pause. */
  wake(): void;
}

/** Events come in bursts, and each step has some of its own. */
const WOKEN_MS = 200;

export function placedSession(world: PlacedWorld): PlacedSession {
  const { journal, clock } = world;
  const inTurn = turns();
  const progress = progressOf(world);
  /** Ends the step under way. */
  let current = new AbortController();
  /** Ends the pause. */
  let pausing = new AbortController();
  let isWoken = false;

  async function takeStep(outer: AbortSignal): Promise<Pause> {
    outer.throwIfAborted();
    isWoken = false;
    const { record } = journal;
    const { phase } = record;
    if (!isHost(phase)) return { kind: 'over' };
    // What a person has to decide is not tried again; a machine that runs goes on being looked after.
    const { waits, machine } = placementOf(record);
    const isStuck = waits?.reason === 'person' && phase !== 'running';
    if (isStuck && machine === undefined) return { kind: 'later', ms: PERSON_MS };
    if (current.signal.aborted) current = new AbortController();
    const inner = current.signal;
    const signal = AbortSignal.any([outer, inner]);
    try {
      return await (isStuck ? careThere(progress, signal) : stepThere(progress, phase, signal));
    } catch (cause) {
      outer.throwIfAborted();
      if (inner.aborted) return AT_ONCE;
      if (isAway(cause)) await world.lost();
      return isStuck ? afterCareFailure(progress, cause) : afterFailure(progress, cause);
    }
  }

  async function pause(ms: number, outer: AbortSignal): Promise<void> {
    pausing = new AbortController();
    const { signal } = pausing;
    try {
      await clock.sleep(isWoken ? Math.min(ms, WOKEN_MS) : ms, AbortSignal.any([outer, signal]));
    } catch (cause) {
      outer.throwIfAborted();
      if (!signal.aborted) throw cause;
    }
  }

  /** What a person asks for does not wait for a hypervisor that does not answer. */
  function interrupt(): void {
    current.abort();
    wake();
  }
  function wake(): void {
    isWoken = true;
    pausing.abort();
  }

  const session: PlacedSession = {
    get record() {
      return journal.record;
    },
    async ask(asked) {
      const { phase } = judge(journal.record, asked);
      const isLive = asked.kind === 'move' && asked.offline === undefined;
      // What changes nothing of it does not have hours of writing begin again.
      if (progress.memory.isWriting && phase === journal.record.phase && !isLive) {
        return request(progress, asked);
      }
      // A switch that is under way may be carried out there after it was given up here.
      const { offline } = placementOf(journal.record);
      const isSwitching = phase === 'pivoting' && offline !== undefined;
      if (isSwitching) wake();
      else interrupt();
      return inTurn(() => request(progress, asked)).finally(wake);
    },
    power: async (how) => {
      // For hours, no step ends.
      if (progress.memory.isWriting) throw isMoving(journal.record);
      return inTurn(async () => {
        await setPower(world, how);
        wake();
      });
    },
    step: (signal) => inTurn(() => takeStep(signal)),
    async run(signal) {
      for (;;) {
        const next = await session.step(signal);
        if (next.kind === 'over') return;
        if (next.ms > 0) await pause(next.ms, signal);
      }
    },
    wake,
  };
  return session;
}

function isMoving({ id }: SessionRecord): SessionError {
  const what = 'its disks move while its machine is off: cancel that first';
  return new SessionError(
    'IMPOSSIBLE',
    `session ${id}: ${what} ("session migrate ${id} --cancel")`,
  );
}

async function setPower(world: PlacedWorld, how: 'on' | StopHow): Promise<void> {
  const { signal } = new AbortController();
  const { record } = world.journal;
  const next = afterEvent(stateOf(record), 'power');
  if (next.kind === 'refused') {
    throw new SessionError('IMPOSSIBLE', `session ${record.id}: ${next.why}`);
  }
  const { offline } = placementOf(record);
  if (how === 'on' && offline && record.phase === 'copying') throw isMoving(record);
  try {
    const driver = await world.driver(signal);
    const machine = await findMachine(world, driver, signal);
    if (!machine) throw new SessionError('NOT_FOUND', `session ${record.id} has no machine`);
    await (how === 'on' ? driver.start(machine, signal) : driver.stop(machine, how, signal));
  } catch (cause) {
    if (isAway(cause)) await world.lost();
    throw cause;
  }
}
