import type { PlacedDisk, Placement, StopHow } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { FindingCode } from '../../hypervisors/base/finding.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type {
  DiskMove,
  Look,
  PlacedMachine,
  ReservedDisk,
  RunDriver,
} from '../../hypervisors/base/run-driver.ts';
import { untilMove } from './move-time.ts';
import type { PlacedWorld, StepResult } from './placed-world.ts';

/*
 * The steps of a placed session on its hypervisor. Each begins with what the hypervisor has just said (`look`), and
 * may be repeated from its beginning: the driver finds what an earlier attempt made. What is journaled within a step
 * is only what the driver could not find again, or people want to see.
 */
export interface StepContext {
  readonly world: PlacedWorld;
  readonly driver: RunDriver;
  /** Undefined: nothing on the hypervisor has the session's mark. */
  readonly machine: PlacedMachine | undefined;
  readonly look: Look;
  /** What this process remembers of the phase. */
  readonly memory: PhaseMemory;
  readonly signal: AbortSignal;
}

/** Forgotten when the phase changes, and with the process. */
export interface PhaseMemory {
  hasBegunCopy?: boolean;
  hasCancelled?: boolean;
  /** Its disks are being written, which may take hours. */
  isWriting?: boolean;
  askedToStopMs?: number;
  lostMs?: number;
  resumedMs?: number;
}

/** How often the hypervisor is asked where nothing is under way; events come sooner. */
export const IDLE_POLL_MS = 15_000;
const BUSY_POLL_MS = 2000;
/** A guest may not have heard the first time. */
const ASK_AGAIN_MS = 60_000;
const LOST_COPIES_MAX = 3;
/** QEMU asks a server that was away again after at most 16 seconds: until then each copy is lost at once. */
const LOST_PAUSE_MS = 10_000;
/** A machine that had no space is not resumed more often. */
const FULL_PAUSE_MS = 30_000;

export const DONE: StepResult = { kind: 'done' };
export const AGAIN: StepResult = { kind: 'again' };

export function placementOf({ placement }: SessionRecord): Placement {
  if (placement) return placement;
  throw new Error('a session without a placement has no machine on a hypervisor');
}

/** The machine is defined there on the session's disks, and started if that was asked for. */
export async function place(context: StepContext): Promise<StepResult> {
  const { world, driver, signal } = context;
  const { id: session } = world.journal.record;
  let { machine } = context;
  if (!machine) {
    const obstacle = await prepareToPlace(context);
    if (obstacle) return obstacle;
    const { record } = world.journal;
    const plan = await world.plan(record, signal);
    const shown = await driver.show(plan, signal);
    await changeDisks(world, (disk) => ({
      ...disk,
      shown: shown.find(({ name }) => name === disk.name)?.source,
    }));
    machine = { id: await driver.register(plan, shown, signal), session };
    await changePlacement(world, { machine: machine.id });
    world.shown.log(`defined machine ${plan.name} (${machine.id})`);
  }
  if (placementOf(world.journal.record).plan.powerOn) await driver.start(machine, signal);
  return DONE;
}

/** Everything before something of ours is on the hypervisor under a name of its own. */
async function prepareToPlace({
  world,
  driver,
  signal,
}: StepContext): Promise<StepResult | undefined> {
  const { replaces, moves, writes } = placementOf(world.journal.record).plan;
  const planned = await world.plan(world.journal.record, signal);
  // It may never move: what it would need then is neither asked for nor taken before.
  const isLater = moves.kind === 'asked';
  const plan = isLater && writes === 'here' ? { ...planned, pool: undefined } : planned;
  const findings = await driver.check(plan, signal);
  const isPassed = (code: FindingCode): boolean =>
    (code === 'name' && replaces !== undefined) || (code === 'target-space' && isLater);
  const blockers = findings.filter(({ level, code }) => level === 'blocker' && !isPassed(code));
  if (blockers.length > 0) {
    const message = blockers.map((it) => `${it.message}: ${it.remedy}`).join('; ');
    return { kind: 'wait', reason: 'person', message, ms: IDLE_POLL_MS };
  }
  if (plan.pool !== undefined) await reserveDisks({ world, driver, signal });
  if (replaces === undefined) return undefined;
  // Noted before: if the answer is lost, it has to be found again.
  await changePlacement(world, { aside: replaces.machine });
  await driver.setAside(replaces.machine, plan.session, signal);
  return undefined;
}

/** The disks to move to; empty: no pool was chosen. */
async function reserveDisks({
  world,
  driver,
  signal,
}: Pick<StepContext, 'world' | 'driver' | 'signal'>): Promise<readonly ReservedDisk[]> {
  const plan = await world.plan(world.journal.record, signal);
  if (plan.pool === undefined) return [];
  const { wasToMove, disks } = placementOf(world.journal.record);
  // A disk that was only partly written cannot be used: a copy needs an empty one, or a whole one.
  if (wasToMove && disks.some(({ reserved }) => reserved === undefined)) {
    await driver.release(plan.session, signal);
  }
  const reserved = await driver.reserve(plan, signal);
  await changeDisks(world, (disk) => ({
    ...disk,
    reserved: reserved.find(({ name }) => name === disk.name)?.source,
  }));
  return reserved;
}

/** Nothing is under way: the machine runs on what is served, or is off. */
export async function stay(context: StepContext): Promise<StepResult> {
  const { memory } = context;
  if (!memory.hasCancelled) {
    // A move was cancelled, and a crash may have come first.
    await endCopies(context);
    memory.hasCancelled = true;
  }
  if (await isWoken(context)) return AGAIN;
  const { look, world } = context;
  const left = untilMove(placementOf(world.journal.record), look, world.clock.now());
  return left > 0 ? { kind: 'later', ms: Math.min(left, IDLE_POLL_MS) } : { kind: 'move' };
}

/** A machine that stopped because its disks did not answer: they do again, or this fails and is repeated. */
export async function isWoken({
  world,
  driver,
  machine,
  look,
  memory,
  signal,
}: StepContext): Promise<boolean> {
  if (!machine || !look.isThere) return false;
  if (look.power === 'paused-space') {
    requirePause(world, memory);
    await driver.start(machine, signal);
    world.shown.log('resumed its machine, which was paused because the hypervisor had no space');
    return true;
  }
  if (look.power !== 'paused-io') return false;
  await driver.start(machine, signal);
  world.shown.log('resumed its machine, which was paused because its disks did not answer');
  return true;
}

/** It would pause again at its next write. Rejects NO_SPACE if it was resumed a moment ago. */
function requirePause({ clock, journal }: PlacedWorld, memory: PhaseMemory): void {
  const now = clock.monotonicMs();
  const { resumedMs } = memory;
  if (resumedMs === undefined || now - resumedMs >= FULL_PAUSE_MS) {
    memory.resumedMs = now;
    return;
  }
  const { pool } = placementOf(journal.record);
  const message =
    `its machine is paused, and has lost nothing: the hypervisor has no space left for what its guest writes. ` +
    `Make space in the pool "${pool}": then it is resumed`;
  throw new HypervisorError('NO_SPACE', message);
}

export async function endCopies({
  world,
  driver,
  machine,
  look,
  signal,
}: StepContext): Promise<boolean> {
  const { disks } = placementOf(world.journal.record);
  if (!machine || !look.isThere || disks.every(({ reserved }) => reserved === undefined)) {
    return false;
  }
  const moves = Object.values(await driver.moving(machine, signal));
  if (!moves.some(({ state }) => state === 'copying' || state === 'ready')) return false;
  await driver.cancelMove(machine, signal);
  world.shown.log('canceled the copies of its disks');
  return true;
}

const isThere = ({ state }: DiskMove): boolean => state === 'ready' || state === 'target';

/** All disks are copied, and the copies follow. */
export async function copy(context: StepContext): Promise<StepResult> {
  const { world, driver, machine, look, memory, signal } = context;
  if (!machine || !look.isThere) return { kind: 'later', ms: BUSY_POLL_MS };
  if (await isWoken(context)) return AGAIN;
  if (look.power === 'off' || look.power === 'suspended') {
    const message =
      'its machine is off. Start it ("session power"), let its disks move while it is off ("session migrate SESSION ' +
      '--offline"), or cancel the migration';
    return { kind: 'wait', reason: 'machine-off', message, ms: BUSY_POLL_MS };
  }
  const moving = await driver.moving(machine, signal);
  world.shown.moves(moving);
  const moves = Object.values(moving);
  if (moves.every(isThere)) return DONE;
  const lost = moves.find((it) => it.state === 'source');
  const isUnderWay = moves.some(({ state }) => state === 'copying');
  const isNext = !isUnderWay && moves.some(({ state }) => state === 'waiting');
  if (!lost && !isNext) return { kind: 'later', ms: BUSY_POLL_MS };
  // Pools are searched for them, and what else goes on in a pool may prevent that: only where it has to be.
  const reserved = await reserveDisks(context);
  if (reserved.length === 0) {
    const message =
      'no pool was chosen for its disks: give one, "holdfast session migrate SESSION --pool POOL"';
    return { kind: 'wait', reason: 'person', message, ms: IDLE_POLL_MS };
  }
  if (lost && (lost.failure !== undefined || memory.hasBegunCopy)) {
    const now = world.clock.monotonicMs();
    const left = (memory.lostMs ?? -Infinity) + LOST_PAUSE_MS - now;
    if (left > 0) return { kind: 'later', ms: left };
    memory.lostMs = now;
    const tooOften = await countLost(world, lost.failure ?? 'the hypervisor gave no reason');
    if (tooOften) return tooOften;
  }
  await driver.move(machine, reserved, signal);
  memory.hasBegunCopy = true;
  if (lost) world.shown.log('began to copy its disks');
  return { kind: 'later', ms: BUSY_POLL_MS };
}

async function countLost(world: PlacedWorld, failure: string): Promise<StepResult | undefined> {
  const { lostCopies, disks } = placementOf(world.journal.record);
  const times = lostCopies === 0 ? '' : `, attempt ${lostCopies + 1}`;
  const message = `the copy of its disks has failed${times}: ${failure}`;
  world.shown.log(message);
  if (lostCopies < LOST_COPIES_MAX) {
    await changePlacement(world, { lostCopies: lostCopies + 1 });
    return undefined;
  }
  const advice = 'Its machine continues to run. Once the cause is gone: "holdfast session migrate"';
  const why = `${message}. ${advice}`;
  // Where a disk has moved already, there is no way back to what was.
  if (disks.some(({ pivoted }) => pivoted)) {
    return { kind: 'wait', reason: 'person', message: why, ms: IDLE_POLL_MS };
  }
  return { kind: 'undone', why };
}

/** Each disk goes on on its reserved one. That all do is seen by the look that follows. */
export async function pivot(context: StepContext): Promise<StepResult> {
  const { world, driver, machine, signal } = context;
  if (!machine) return AGAIN;
  if (await isWoken(context)) return AGAIN;
  const moves = Object.values(await driver.moving(machine, signal));
  if (!moves.every(isThere)) {
    return { kind: 'undone', why: 'a copy of its disks ended before they had moved' };
  }
  await driver.pivot(machine, signal);
  world.shown.log('its disks have moved to the hypervisor');
  return AGAIN;
}

/** Nothing on the hypervisor is the session's any longer. */
export async function leave({ world, driver, signal }: StepContext): Promise<StepResult> {
  const { id } = world.journal.record;
  await driver.hide(id, signal);
  await endAside({ world, driver, signal }, (aside) =>
    endReplaced({ world, driver, signal }, aside),
  );
  // Where one has moved, its reserved disk is the only copy: a machine that went on to another host still uses it.
  const hasMoved = placementOf(world.journal.record).disks.some(({ pivoted }) => pivoted);
  if (!hasMoved) await driver.release(id, signal);
  await world.own.endExports();
  return DONE;
}

/** It is removed only where that was chosen, nothing shows that a person uses it, and the hypervisor lets it go. */
async function endReplaced(
  { world, driver, signal }: Pick<StepContext, 'world' | 'driver' | 'signal'>,
  aside: string,
): Promise<void> {
  const { id, placement } = world.journal.record;
  if (placement?.plan.replaces?.afterwards === 'delete') {
    try {
      const disks = await driver.removeAside(aside, id, signal);
      const where = disks.length === 0 ? '' : `; its disks are still there: ${disks.join(', ')}`;
      return world.shown.log(`removed the machine that it replaced${where}`);
    } catch (cause) {
      // Used by a person, or refused, as for snapshots: what is left of the session is only the mark.
      if (!(cause instanceof HypervisorError) || cause.code === 'UNREACHABLE') throw cause;
      world.shown.log(`the machine that it replaced is not removed: ${cause.message}`);
    }
  }
  await driver.leaveAside(aside, id, signal);
}

export async function endAside(
  { world }: Pick<StepContext, 'world' | 'driver' | 'signal'>,
  end: (aside: string) => Promise<void>,
): Promise<void> {
  const { aside } = placementOf(world.journal.record);
  if (aside === undefined) return;
  try {
    await end(aside);
  } catch (cause) {
    if (!(cause instanceof HypervisorError) || cause.code !== 'NOT_FOUND') throw cause;
    world.shown.log(`the machine that it replaced (${aside}) was removed in the meantime`);
  }
  await changePlacement(world, { aside: undefined });
}

export async function stop(context: StepContext, how: StopHow): Promise<StepResult> {
  const { world, driver, machine, look, memory, signal } = context;
  if (how === 'off') {
    await driver.stop(machine!, how, signal);
    world.shown.log('powered its machine off');
    return AGAIN;
  }
  // A guest that waits for its disks hears nothing.
  if (await isWoken(context)) return AGAIN;
  const now = world.clock.monotonicMs();
  if (memory.askedToStopMs === undefined || now - memory.askedToStopMs >= ASK_AGAIN_MS) {
    memory.askedToStopMs = now;
    await driver.stop(machine!, how, signal);
    world.shown.log('asked its guest to shut down');
  }
  const state = look.isThere && look.power !== 'on' ? ` (it is ${look.power})` : '';
  return {
    ...{ kind: 'wait', reason: 'machine-off', ms: BUSY_POLL_MS },
    message: `its guest was asked to shut down${state}. To power it off, repeat the command with --stop off`,
  };
}

export async function changePlacement(
  { journal }: Pick<PlacedWorld, 'journal'>,
  change: Partial<Placement>,
): Promise<void> {
  await journal.change((record) => ({
    ...record,
    placement: { ...placementOf(record), ...change },
  }));
}

/** What a person has to know stays until one has decided; the rest ends by itself. */
export async function endWait(world: Pick<PlacedWorld, 'journal'>): Promise<void> {
  const { waits } = placementOf(world.journal.record);
  if (waits && waits.reason !== 'person') await changePlacement(world, { waits: undefined });
}

export async function changeDisks(
  world: PlacedWorld,
  change: (disk: PlacedDisk) => PlacedDisk,
): Promise<void> {
  await changePlacement(world, { disks: placementOf(world.journal.record).disks.map(change) });
}
