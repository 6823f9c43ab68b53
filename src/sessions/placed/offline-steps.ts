import { BlockError } from '../../block/block-error.ts';
import { asHost } from '../../hypervisors/base/host-failure.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { DiskMove, ReservedDisk } from '../../hypervisors/base/run-driver.ts';
import { rewriteDisk } from '../../ingest/restore/rewrite-disk.ts';
import { IngestError } from '../../ingest/source/ingest-error.ts';
import { orAborted } from '../../lib/or-aborted.ts';
import {
  AGAIN,
  changeDisks,
  changePlacement,
  endCopies,
  endWait,
  isWoken,
  placementOf,
  type StepContext,
  stop,
} from './placed-steps.ts';
import type { StepResult } from './placed-world.ts';

/*
 * A machine moves while it is off: we write its disks to reserved ones, read them back and compare, and its definition
 * is changed to these by one effect. Nothing on the hypervisor prevents a person from starting it in between. So a
 * fence is up from before the first byte is read until that effect was seen: what such a machine writes is refused, it
 * stops for that, and no write was ever acknowledged that the copy lacks. In `pivoting`, each process has the fence up.
 *
 * What was written is known to be whole only by the phase that follows: a copy that ended early begins again, on disks
 * that are made again.
 */

const PERSON_MS = 15_000;
const NOT_OFF: StepResult = {
  ...{ kind: 'wait', reason: 'machine-off', ms: 2000 },
  message:
    'its machine is not off: its disks move once it is. Shut it down ("session power"), or cancel the migration',
};

/** All disks are written, read back and compared, and the fence is up. */
export async function copyOffline(context: StepContext): Promise<StepResult> {
  const { world, driver, machine, look, memory, signal } = context;
  const { own } = world;
  if (!machine || !look.isThere) return AGAIN;
  const missing = missingDisk(context);
  if (missing) return missing;
  if (look.power !== 'off') {
    await own.setFence(false);
    const how = placementOf(world.journal.record).offline?.stop;
    // One that is powered off need not run on first, and perhaps cannot.
    if (how !== 'off' && (await isWoken(context))) return AGAIN;
    if (await endCopies(context)) return AGAIN;
    return how === undefined ? NOT_OFF : stop(context, how);
  }
  const refusal = await refused(() => driver.switchDisks(machine, [], signal));
  if (refusal) return refusal;
  let isWhole = false;
  try {
    if (!(await isFenced(context))) return HELD;
    // What it has waited for is there, and this step may take hours.
    await endWait(world);
    memory.isWriting = true;
    const reserved = await reserveAgain(context);
    if (!reserved) {
      const message =
        'no pool was chosen for its disks: give one, "holdfast session migrate SESSION --offline --pool POOL"';
      return { kind: 'wait', reason: 'person', message, ms: PERSON_MS };
    }
    const failure = await written(context, reserved);
    if (failure !== undefined) return { kind: 'undone', why: failure };
    const after = await driver.look(machine, signal);
    // Started by a person in the meantime, it has written nothing; but it is not off.
    if (!after.isThere || after.power !== 'off') return AGAIN;
    await changeDisks(world, (disk) => ({
      ...disk,
      reserved: reserved.find(({ name }) => name === disk.name)?.source ?? disk.reserved,
    }));
    isWhole = true;
    return { kind: 'done' };
  } finally {
    memory.isWriting = false;
    if (!isWhole) await own.setFence(false);
  }
}

/**
 * Empty ones for all disks that are ours; undefined: no pool was chosen. An earlier attempt may have written to those
 * that were there.
 */
async function reserveAgain({
  world,
  driver,
  look,
  signal,
}: StepContext): Promise<readonly ReservedDisk[] | undefined> {
  const plan = await world.plan(world.journal.record, signal);
  if (plan.pool === undefined) return undefined;
  const isOurs = (name: string): boolean => look.isThere && look.disks[name] === 'ours';
  await changeDisks(world, (disk) => (isOurs(disk.name) ? { ...disk, reserved: undefined } : disk));
  await driver.release(plan.session, signal);
  const reserved = await driver.reserve(plan, signal);
  return reserved.filter(({ name }) => isOurs(name));
}

/** Undefined: all of it; else why it cannot be. Rejects HypervisorError, or the signal's reason. */
async function written(
  { world, signal }: StepContext,
  reserved: readonly ReservedDisk[],
): Promise<string | undefined> {
  const moves: Record<string, DiskMove> = {};
  for (const { name, size } of reserved)
    moves[name] = { state: 'copying', done: 0, total: 2 * size };
  const begun = world.clock.monotonicMs();
  let bytes = 0;
  world.shown.log('its disks are written to the hypervisor, and read back');
  for (const to of reserved) {
    const { name, size } = to;
    try {
      await using target = await world.openReserved(to, signal);
      const { writtenBytes } = await asHost(
        rewriteDisk(world.own.disk(name), target, {
          // What a block device held before is overwritten; in a new image, zeros cost nothing.
          isEmpty: false,
          signal,
          onProgress({ phase, position }) {
            const done = phase === 'write' ? position : size + position;
            moves[name] = { state: 'copying', done, total: 2 * size };
            world.shown.moves(moves);
          },
        }),
      );
      bytes += writtenBytes;
    } catch (cause) {
      const isOwn = cause instanceof BlockError || cause instanceof IngestError;
      if (!isOwn || signal.aborted) throw cause;
      return `its disks have not moved, and its machine is as it was: ${cause.message}`;
    }
    moves[name] = { state: 'ready' };
    world.shown.moves(moves);
  }
  world.shown.wrote(bytes, world.clock.monotonicMs() - begun);
  return undefined;
}

/** A write may wait for space in the store, even if the machine that sent it is gone. */
const FENCE_MS = 10_000;
const HELD: StepResult = {
  ...{ kind: 'wait', reason: 'no-space', ms: 2000 },
  message:
    'writes of its guest are still held here, as the store has no space for them: free some; or discard the session',
};

/** False: writes are still under way after some time. */
async function isFenced({ world, signal }: StepContext): Promise<boolean> {
  const over = new AbortController();
  const late = world.clock.sleep(FENCE_MS, AbortSignal.any([signal, over.signal]));
  try {
    return await Promise.race([
      orAborted(world.own.setFence(true), signal).then(() => true),
      late.then(() => false),
    ]);
  } finally {
    over.abort();
  }
}

/** Its definition has the written disks. That it does is seen by the look that follows. */
export async function switchOver(context: StepContext): Promise<StepResult> {
  const { world, driver, machine, look, signal } = context;
  const { goal, disks, offline } = placementOf(world.journal.record);
  if (goal !== 'move' && !disks.some(({ pivoted }) => pivoted)) {
    return { kind: 'undone', why: 'its disks have not moved, and stay where they are' };
  }
  if (!(await isFenced(context))) return HELD;
  if (!machine || !look.isThere) return AGAIN;
  if (look.power !== 'off') {
    // It was started by a person in the meantime, and none of its writes to disks of ours was acknowledged.
    await changePlacement(world, { offline: { stop: undefined, ...offline, start: true } });
    await driver.stop(machine, 'off', signal);
    world.shown.log('powered its machine off, which was started while its disks moved');
    return AGAIN;
  }
  const missing = missingDisk(context);
  if (missing) return missing;
  const refusal = await refused(() => driver.switchDisks(machine, disksTo(context), signal));
  if (refusal) return refusal;
  world.shown.log('its disks have moved to the hypervisor');
  return AGAIN;
}

const MAY_PASS: ReadonlySet<string> = new Set(['UNREACHABLE', 'BUSY', 'NO_SPACE']);

/** What was written to a disk that was taken out of the machine is here alone. */
function missingDisk({ world, look }: StepContext): StepResult | undefined {
  const disks = look.isThere ? look.disks : {};
  const name = world.journal.record.disks.find((it) => disks[it.name] === undefined)?.name;
  if (name === undefined) return undefined;
  const what = `its disks have not moved: its machine no longer has the disk ${name}`;
  return { kind: 'undone', why: `${what}. Give it that disk again, or keep the session` };
}

/** What the hypervisor refuses, no repetition changes. */
async function refused(work: () => Promise<void>): Promise<StepResult | undefined> {
  try {
    await work();
    return undefined;
  } catch (cause) {
    if (!(cause instanceof HypervisorError) || MAY_PASS.has(cause.code)) throw cause;
    return { kind: 'undone', why: `its disks have not moved: ${cause.message}` };
  }
}

function disksTo({ world, look }: StepContext): readonly ReservedDisk[] {
  const { record } = world.journal;
  const { disks } = placementOf(record);
  return record.disks.flatMap(({ name, size }) => {
    const source = disks.find((it) => it.name === name)?.reserved;
    const isOurs = look.isThere && look.disks[name] === 'ours';
    return source === undefined || !isOurs ? [] : [{ name, size, source }];
  });
}
