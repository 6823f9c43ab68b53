import { deepEqual, equal } from 'node:assert/strict';
import { BlockError } from '../../src/block/block-error.ts';
import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import { below, noise, seeded } from '../support/random.ts';
import { SIZE } from './backups.ts';
import type { Mishap, SuiteOptions, Test, TestHost, TestMachine } from './rig.ts';
import { endless, failureOf, type Point, same, take, truth } from './taking.ts';

/** How many things happen to one machine. */
const EVENTS = 60;
const MISHAPS: readonly Mishap[] = ['cut-before', 'cut-after', 'FAILED', 'BUSY', 'UNREACHABLE'];
/** A backup of a few small disks makes about as many calls. */
const CALLS = 24;

/** Hosts take names of their own only: `vda`, `vdb`. */
const diskName = (number: number): string => `vd${String.fromCharCode(97 + (number % LETTERS))}`;
const LETTERS = 26;

/** Whatever happens to a machine, in any order: each point that is published has the disks as they were. */
export function livesConform(
  test: Test,
  open: () => Promise<TestHost>,
  { events = EVENTS, knowsOff = true }: SuiteOptions,
): void {
  const seeds = Number(process.env['SEEDS'] ?? 5);
  const first = Number(process.env['SEED'] ?? 1);
  for (let seed = first; seed < first + seeds; seed++) {
    test(`a machine to which anything happens has true points only (SEED=${seed})`, async () => {
      await using rig = await open();
      const life = await born(rig, seeded(seed));
      for (let n = 0; n < events; n++) await happen(life, knowsOff);
      // In the end all goes well.
      await backUp(life, undefined);
      await backUp(life, undefined);
    });
  }
}

interface Life {
  readonly rig: TestHost;
  readonly random: () => number;
  readonly machine: TestMachine;
  /** Those that it has, with their sizes. */
  readonly disks: Map<string, number>;
  /** The last one that was published. */
  point: Point | undefined;
  foreign: readonly string[];
  made: number;
}

async function born(rig: TestHost, random: () => number): Promise<Life> {
  const disks = new Map([[diskName(0), SIZE]]);
  const machine = await rig.machine({ name: 'web1', disks: Object.fromEntries(disks) });
  return { rig, random, machine, disks, point: undefined, foreign: [], made: 1 };
}

async function happen(life: Life, knowsOff: boolean): Promise<void> {
  const { random, machine } = life;
  const kind = below(random, 20);
  if (kind < 7) return write(life);
  if (kind < 13) {
    const mishap = MISHAPS[below(random, 2 * MISHAPS.length)];
    return backUp(life, mishap);
  }
  switch (kind) {
    case 13:
      return othersLose(life, () => addOrRemove(life));
    case 14:
      return grow(life);
    case 15:
      if (!(await machine.isRunning())) return machine.start();
      return othersLose(life, () => machine.loseTracking());
    case 16:
      life.foreign = [];
      return machine.redefine();
    case 17:
      return addForeign(life);
    case 18:
      if (!(await machine.isRunning())) return machine.start();
      await machine.shutDown();
      if (!knowsOff) await machine.start();
      return undefined;
    default:
      return write(life);
  }
}

/** Another product comes only where no backup runs: ours that died is ended first. */
async function addForeign(life: Life): Promise<void> {
  const { machine } = life;
  if (!(await machine.isRunning())) return;
  await using host = await life.rig.connect();
  await tidied(life, host);
  const before = new Set(await machine.traces());
  await machine.addForeignCheckpoint();
  const added = (await machine.traces()).filter((it) => !before.has(it));
  life.foreign = [...life.foreign, ...added];
}

/** What others have counted may go with it, where it is only in the images. */
async function othersLose(life: Life, event: () => Promise<void>): Promise<void> {
  await event();
  const traces = await life.machine.traces();
  life.foreign = life.foreign.filter((it) => traces.includes(it));
}

async function tidied({ machine, point }: Life, host: Hypervisor): Promise<void> {
  await host.backup.tidy(machine.id, point?.tracking ? [point.tracking] : [], endless());
  equal(await machine.isFrozen(), false);
}

async function write({ random, machine, disks }: Life): Promise<void> {
  if (!(await machine.isRunning())) return;
  for (const [name, size] of disks) {
    const length = 512 * (1 + below(random, 30));
    const offset = 512 * below(random, (size - length) / 512);
    await machine.write(name, offset, noise(length, below(random, 1000)));
  }
}

async function addOrRemove(life: Life): Promise<void> {
  const { random, machine, disks } = life;
  if (disks.size > 1 && random() < 0.5) {
    const name = [...disks.keys()][below(random, disks.size)]!;
    await machine.removeDisk(name);
    disks.delete(name);
  } else {
    // Sometimes by the name of one that was there before.
    const name = diskName(below(random, ++life.made));
    if (disks.has(name)) return;
    await machine.addDisk(name, SIZE);
    disks.set(name, SIZE);
  }
}

async function grow({ random, machine, disks }: Life): Promise<void> {
  const name = [...disks.keys()][below(random, disks.size)]!;
  const size = disks.get(name)! + SIZE;
  await machine.growDisk(name, size);
  disks.set(name, size);
}

/** As the engine does it; `mishap` befalls some call, or none if there are fewer. */
async function backUp(life: Life, mishap: Mishap | undefined): Promise<void> {
  const { rig, random, machine, disks } = life;
  const then = await truth(machine, [...disks.keys()]);
  const at = 1 + below(random, CALLS);
  const onCall = (_name: string, count: number) => (count === at ? mishap : undefined);
  const before = life.point;
  const attempt = async (): Promise<void> => {
    await using host = await rig.connect({ onCall });
    await tidied(life, host);
    await take(host, machine, {
      since: before,
      onBegun: () => write(life),
      onPublished: (point) => {
        life.point = point;
      },
    });
  };
  const failure = await failureOf(attempt(), (cause) => cause instanceof BlockError);
  if (mishap === undefined) equal(failure, undefined);
  if (life.point !== before) same(life.point!.disks, then);
  const traces = await machine.traces();
  deepEqual(
    life.foreign.filter((it) => !traces.includes(it)),
    [],
  );
}
