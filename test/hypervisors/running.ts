import { ok } from 'node:assert/strict';
import type { MachineDescription } from '../../src/formats/store/catalog/machine.ts';
import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import type { MachineId } from '../../src/hypervisors/base/machines.ts';
import type {
  PlacedMachine,
  PlannedFile,
  ReservedDisk,
  RunDriver,
  RunPlan,
  ShownDisk,
  WritesTo,
} from '../../src/hypervisors/base/run-driver.ts';
import { noise } from '../support/random.ts';
import { until } from '../support/until.ts';
import type { Mishap, TestMachine } from './rig.ts';
import type { RunTestHost, ServedSession } from './run-rig.ts';
import { endless, failureOf } from './taking.ts';

export const SIZE = 65_536;
export const MAC = '52:54:00:12:34:56';

export interface Prepared {
  readonly plan: RunPlan;
  readonly served: ServedSession;
  /** The machine that was backed up, off, still there. */
  readonly old: TestMachine;
}

let plans = 0;

/** A session of a machine with two disks. */
export async function prepare(
  rig: RunTestHost,
  session = 'session1',
  writes: WritesTo = 'here',
): Promise<Prepared> {
  const count = ++plans;
  const disks = { vda: noise(SIZE, count), vdb: noise(SIZE, count + 1) };
  const served = await rig.serve(session, disks);
  const name = `web-${session}`;
  const old = await rig.machine({ name, disks: { vda: SIZE, vdb: SIZE }, isOff: true });
  const plan: RunPlan = {
    ...{ session, name, uuid: `0b2ff0e5-3a3c-4c5e-9d6d-${String(count).padStart(12, '0')}` },
    machine: description(old.id, name),
    files: [
      { name: 'nvram', kind: 'firmware-vars', bytes: noise(100, 1) },
      ...(rig.definition ? [definitionFile(rig.definition(Object.keys(disks), MAC))] : []),
    ],
    ...{ disks: served.disks, networks: { [MAC]: rig.network } },
    ...{ pool: rig.pool, autostart: true, writes },
  };
  return { plan, served, old };
}

function definitionFile(bytes: Uint8Array): PlannedFile {
  return { name: 'definition', kind: 'definition', bytes };
}

function description(id: MachineId, name: string): MachineDescription {
  return {
    from: { kind: 'libvirt', hypervisor: 'kvm1', product: 'QEMU', id, name },
    ...{ arch: 'x86_64', firmware: { kind: 'bios' }, cpu: { count: 1 } },
    ...{ memory: { bytes: 2 ** 28 }, ids: { uuid: id }, clock: 'utc' },
    disks: ['vda', 'vdb'].map((disk) => ({
      ...{ name: disk, bus: 'virtio' as const, size: SIZE, sectorBytes: 512 as const },
    })),
    nics: [
      { mac: MAC, model: 'virtio', network: { kind: 'network', name: 'lan' }, connected: true },
    ],
    ...{ boot: ['disk:vda'], autostart: true },
    native: { format: 'libvirt-xml', file: 'definition' },
  };
}

export function runOf(host: Hypervisor): RunDriver {
  ok(host.run, 'this driver runs no machines');
  return host.run;
}

/** What a session's journal would hold. */
export interface Journal {
  reserved: readonly ReservedDisk[];
  shown: readonly ShownDisk[];
  id: MachineId | undefined;
}

export function journal(): Journal {
  return { reserved: [], shown: [], id: undefined };
}

type Step = (run: RunDriver, prepared: Prepared, noted: Journal) => Promise<void>;

export function placed(noted: Journal, { plan }: Prepared): PlacedMachine {
  return { id: noted.id!, session: plan.session };
}

const signal = endless();

export const PLACE: readonly Step[] = [
  async (run, { plan }, noted) => void (noted.reserved = await run.reserve(plan, signal)),
  async (run, { plan }, noted) => void (noted.shown = await run.show(plan, signal)),
  async (run, { plan, old }) => run.setAside(old.id, plan.session, signal),
  async (run, { plan }, noted) => void (noted.id = await run.register(plan, noted.shown, signal)),
  async (run, prepared, noted) => run.start(placed(noted, prepared), signal),
];

export const COPY: readonly Step[] = [
  async (run, prepared, noted) => run.move(placed(noted, prepared), noted.reserved, signal),
  async (run, prepared, noted) => untilReady(run, placed(noted, prepared), noted),
];

export const STAY: readonly Step[] = [
  async (run, prepared, noted) => run.pivot(placed(noted, prepared), signal),
  async (run, prepared, noted) => run.settle(placed(noted, prepared), prepared.plan, signal),
  async (run, { plan }) => run.hide(plan.session, signal),
  async (run, { plan, old }) => run.leaveAside(old.id, plan.session, signal),
];

export const WITHDRAW: readonly Step[] = [
  async (run, prepared, noted) => run.cancelMove(placed(noted, prepared), signal),
  async (run, prepared, noted) => run.stop(placed(noted, prepared), 'off', signal),
  async (run, prepared, noted) => run.unregister(placed(noted, prepared), signal),
  async (run, { plan }) => run.hide(plan.session, signal),
  async (run, { plan }) => run.release(plan.session, signal),
  async (run, { plan, old }) => run.putBack(old.id, plan.session, signal),
];

async function untilReady(
  run: RunDriver,
  machine: PlacedMachine,
  { reserved }: Journal,
): Promise<void> {
  await until('all copies are ready', async () => {
    const moves = Object.values(await run.moving(machine, signal));
    for (const it of moves) {
      if (it.state === 'source') throw new Error(`a copy is not under way: ${it.failure}`);
    }
    if (moves.some(({ state }) => state === 'waiting')) await run.move(machine, reserved, signal);
    return moves.every(({ state }) => state === 'ready' || state === 'target');
  });
}

/** Each step, so many times. */
export async function walk(
  host: Hypervisor,
  prepared: Prepared,
  { steps, noted, times = 1 }: Walk & { readonly times?: number },
): Promise<void> {
  for (const step of steps) {
    for (let n = 0; n < times; n++) await step(runOf(host), prepared, noted);
  }
}

interface Walk {
  readonly steps: readonly Step[];
  readonly noted: Journal;
}

/** Goes on by another process with the step that failed, or whose answer never came. Returns the calls of the first. */
export async function walkOn(
  rig: RunTestHost,
  prepared: Prepared,
  { steps, noted, onCall }: Walk & { readonly onCall: (count: number) => Mishap | undefined },
): Promise<readonly string[]> {
  const calls: string[] = [];
  await using second = await rig.connect();
  const connecting = rig.connect({
    onCall: (name, count) => {
      calls.push(name);
      return onCall(count);
    },
  });
  await using first = (await failureOf(connecting)) ? second : await connecting;
  let host = first;
  for (const step of steps) {
    if (await failureOf(step(runOf(host), prepared, noted))) {
      host = second;
      await step(runOf(host), prepared, noted);
    }
  }
  return calls;
}
