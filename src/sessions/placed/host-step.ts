import type { PlacedPhase, SessionPhase } from '../../formats/store/sessions/session.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { Look, PlacedMachine, RunDriver } from '../../hypervisors/base/run-driver.ts';
import { firstSeen, placedDisks, seenOf } from './placed-look.ts';
import { AWAY_FIRST_MS, type Progress, stateOf } from './placed-progress.ts';
import { copyOffline, switchOver } from './offline-steps.ts';
import { afterLook } from './placed-state.ts';
import {
  changePlacement,
  copy,
  isWoken,
  leave,
  pivot,
  place,
  placementOf,
  stay,
  type StepContext,
} from './placed-steps.ts';
import { settle } from './settle-step.ts';
import { withdraw } from './withdraw-step.ts';
import type { Pause, PlacedWorld, StepResult } from './placed-world.ts';
import { ranFrom, turnOf } from './run-turn.ts';

export type HostPhase = Exclude<PlacedPhase, 'preparing' | 'keeping' | 'cleaning'>;

const STEPS = {
  placing: place,
  running: stay,
  copying: copy,
  pivoting: pivot,
  settling: settle,
  leaving: leave,
  withdrawing: withdraw,
} as const satisfies Record<HostPhase, (context: StepContext) => Promise<StepResult>>;

/** Those of a move while the machine is off. */
const OFFLINE_STEPS: Partial<typeof STEPS> = { copying: copyOffline, pivoting: switchOver };

/** Without a connection no event says that it is back. */
const AWAY_LONGEST_MS = 60_000;
const BUSY_MS = 5000;
const NO_SPACE_MS = 60_000;
const LOOK_AGAIN_MS = 15_000;
export const PERSON_MS = 600_000;
/** A failure that may have been one of the moment is repeated so often before a person is needed. */
const FAILURES_MAX = 3;
export const AT_ONCE: Pause = { kind: 'later', ms: 0 };

/** In the others, nothing of the session is on the hypervisor. */
export const isHost = (phase: SessionPhase): phase is HostPhase => Object.hasOwn(STEPS, phase);

interface Found {
  readonly driver: RunDriver;
  readonly machine: PlacedMachine | undefined;
  readonly look: Look;
}

/** Looks at the machine, and takes the step of the phase if that is still the one to take. */
export async function stepThere(
  progress: Progress,
  phase: HostPhase,
  signal: AbortSignal,
): Promise<Pause> {
  const { world } = progress;
  // Until then nothing of it is there, and many may wait: the hypervisor is not asked.
  const isTurn = phase === 'placing' ? await turn(progress) : undefined;
  if (isTurn) return isTurn;
  const { driver, machine, look } = await lookThere(progress, signal);
  const { record } = world.journal;
  const seen = seenOf(look, record.id, placementOf(record).disks);
  const next = afterLook(stateOf(record), seen);
  if (next.kind === 'wait') return progress.wait(LOOK_AGAIN_MS, next.reason, next.why);
  if (next.kind === 'next') {
    const { goal } = placementOf(record);
    if (next.goal === 'move' && goal !== 'move' && phase === 'pivoting') {
      world.shown.log('its disks had moved already, and the move can only be completed');
    }
    await progress.enter(next.phase, { goal: next.goal });
    return AT_ONCE;
  }
  const { memory } = progress;
  const { offline } = placementOf(world.journal.record);
  // A machine that stays, or shuts down, writes to its disks.
  if (offline === undefined) await world.own.setFence(false);
  const step = (offline && OFFLINE_STEPS[phase]) ?? STEPS[phase];
  const result = await step({ world, driver, machine, look, memory, signal });
  progress.failures = 0;
  return afterStep(progress, phase, result);
}

/** What the hypervisor says of the machine now, noted and shown. */
async function lookThere(progress: Progress, signal: AbortSignal): Promise<Found> {
  const { world } = progress;
  const driver = await world.driver(signal);
  const machine = await findMachine(world, driver, signal);
  const look: Look = machine ? await driver.look(machine, signal) : { isThere: false };
  world.shown.look(look);
  progress.awayMs = AWAY_FIRST_MS;
  const placement = placementOf(world.journal.record);
  await changePlacement(world, {
    disks: placedDisks(look, placement.disks),
    ...firstSeen(placement, look, world.clock.now()),
  });
  return { driver, machine, look };
}

/**
 * While a person has to decide, no step is taken; but the machine may run on disks that are served here, and is looked
 * after: the way to them stays open, and it runs on where it had stopped for them.
 */
export async function careThere(progress: Progress, signal: AbortSignal): Promise<Pause> {
  const { world, memory } = progress;
  const { driver, machine, look } = await lookThere(progress, signal);
  const isOurs = look.isThere && look.session === world.journal.record.id;
  if (isOurs) await isWoken({ world, driver, machine, look, memory, signal });
  return { kind: 'later', ms: LOOK_AGAIN_MS };
}

/** What a person has to decide comes first: no other wait takes its place. Throws what is another's failure. */
export function afterCareFailure(progress: Progress, cause: unknown): Pause {
  if (!(cause instanceof HypervisorError)) throw cause;
  return { kind: 'later', ms: cause.code === 'UNREACHABLE' ? awayPause(progress) : LOOK_AGAIN_MS };
}

/** How long the machine has to wait for others of its run; undefined: it does not. */
async function turn(progress: Progress): Promise<Pause | undefined> {
  const { world } = progress;
  const { run: known } = placementOf(world.journal.record);
  if (!known || known.isTurn) return undefined;
  const before = known.after === undefined ? undefined : await world.other(known.after);
  // By the time its turn comes, that one may have moved, and its session be over.
  const run = { ...known, from: known.from ?? ranFrom(known, before) };
  if (run.from !== known.from) await changePlacement(world, { run });
  const found = turnOf(run, before, world.clock.now());
  if (found.kind === 'wait') return progress.wait(found.ms, 'turn', found.message);
  if (found.kind === 'stopped') return progress.wait(PERSON_MS, 'person', found.message);
  await changePlacement(world, { run: { ...run, isTurn: true } });
  return undefined;
}

async function afterStep(progress: Progress, phase: HostPhase, result: StepResult): Promise<Pause> {
  if (result.kind === 'wait') return progress.wait(result.ms, result.reason, result.message);
  await progress.endWait();
  if (result.kind === 'later') return result;
  if (result.kind === 'done') await progress.apply('done');
  if (result.kind === 'move') await progress.apply('move');
  if (result.kind === 'undone') {
    const { world } = progress;
    world.shown.log(result.why);
    const since = world.clock.now().toISOString();
    const waits = { reason: 'person', since, message: result.why } as const;
    const { goal, offline } = placementOf(world.journal.record);
    // A person who asked for something in the meantime need not be waited for.
    const isStay = goal === 'move' && (phase === 'copying' || offline !== undefined);
    await progress.apply('undone', isStay ? { waits } : {});
  }
  return AT_ONCE;
}

/** How long to wait after the hypervisor failed, and what a person has to know. Throws what is another's failure. */
export async function afterFailure(progress: Progress, cause: unknown): Promise<Pause> {
  if (!(cause instanceof HypervisorError)) throw cause;
  const { code, message } = cause;
  if (code === 'UNREACHABLE') {
    return progress.wait(awayPause(progress), 'away', message);
  }
  if (code === 'BUSY') return progress.wait(BUSY_MS, 'busy', message);
  if (code === 'NO_SPACE') return progress.wait(NO_SPACE_MS, 'no-space', message);
  // Something may have come between the look and what followed: another look tells.
  if (MAY_PASS[code] && ++progress.failures < FAILURES_MAX) return { kind: 'later', ms: BUSY_MS };
  return progress.wait(PERSON_MS, 'person', message);
}

function awayPause(progress: Progress): number {
  const ms = progress.awayMs;
  progress.awayMs = Math.min(ms * 2, AWAY_LONGEST_MS);
  return ms;
}

const MAY_PASS = {
  ...{ FAILED: true, CONFLICT: true, NOT_FOUND: true, EXISTS: true, LOST: true },
  ...{ AUTH: false, IDENTITY: false, DENIED: false, UNSUPPORTED: false, LICENCE: false },
} as const satisfies Record<
  Exclude<HypervisorError['code'], 'UNREACHABLE' | 'BUSY' | 'NO_SPACE'>,
  boolean
>;

/** The machine by the journal; also one whose ID was lost with an answer. */
export async function findMachine(
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
