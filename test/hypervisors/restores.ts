import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { writeLayer } from '../../src/block/layer.ts';
import type { FindingCode } from '../../src/hypervisors/base/finding.ts';
import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import { HypervisorError } from '../../src/hypervisors/base/hypervisor-error.ts';
import type { RestoreDriver, RestorePlan } from '../../src/hypervisors/base/restore-driver.ts';
import type { ReservedDisk } from '../../src/hypervisors/base/run-driver.ts';
import { rewriteDisk } from '../../src/ingest/restore/rewrite-disk.ts';
import { noise } from '../support/random.ts';
import type { Mishap, SuiteOptions, Test } from './rig.ts';
import type { RunTestHost } from './run-rig.ts';
import { prepare, runOf } from './running.ts';
import { endless, failureOf } from './taking.ts';

const signal = endless();
const MIB = 2 ** 20;
const NO_MACHINE = '0b2ff0e5-3a3c-4c5e-9d6d-ffffffffffff';

/** What every driver promises that machines and disks are written back with. `open` gives a fresh host. */
export function restoresConform(
  test: Test,
  open: () => Promise<RunTestHost>,
  options: SuiteOptions = {},
): void {
  restoresConformAlone(test, open);
  restoreInterruptionsConform(test, open, options);
}

/** Without what happens at each call. */
export function restoresConformAlone(test: Test, open: () => Promise<RunTestHost>): void {
  wholeConforms(test, open);
  checksConform(test, open);
  attachingConforms(test, open);
}

interface Restoring {
  readonly plan: RestorePlan;
  /** By disk. */
  readonly bytes: Readonly<Record<string, Uint8Array>>;
}

/** Two disks with holes. The machine of the recovery point is gone, unless it is kept. */
async function planned(rig: RunTestHost, { isGone = true } = {}): Promise<Restoring> {
  const { plan, old } = await prepare(rig);
  if (isGone) await old.undefine();
  const bytes = { vda: new Uint8Array(3 * MIB), vdb: new Uint8Array(MIB) };
  bytes.vda.set(noise(70_000, 1), 130_000);
  bytes.vda.set(noise(5000, 2), 3 * MIB - 5000);
  bytes.vdb.set(noise(512, 3), 4096);
  const disks = Object.entries(bytes).map(([name, { length: size }]) => ({
    ...{ name, size, data: 80_000 },
  }));
  const { machine } = plan;
  const described = machine.disks.map((it) => ({
    ...it,
    size: disks.find(({ name }) => name === it.name)!.size,
  }));
  return {
    plan: { ...plan, machine: { ...machine, disks: described }, pool: rig.pool, disks },
    bytes,
  };
}

function restoreOf(host: Hypervisor): RestoreDriver {
  ok(host.restore, 'nothing is written back with this driver');
  return host.restore;
}

/** As a recovery point's disk gives it. */
function diskOf(bytes: Uint8Array) {
  const unit = 4096;
  return writeLayer(
    'point',
    { size: bytes.length, blockSize: unit },
    {
      read: async (into, offset) => into.set(bytes.subarray(offset, offset + into.length)),
      async extents(offset, length) {
        const found: { offset: number; length: number; kind: 'data' | 'zero' }[] = [];
        for (let at = offset; at < offset + length; at += unit) {
          const part = bytes.subarray(at, Math.min(at + unit, offset + length));
          const kind = part.some((it) => it !== 0) ? 'data' : 'zero';
          found.push({ offset: at, length: part.length, kind });
        }
        return found;
      },
      write: async () => {},
      flush: async () => {},
    },
  );
}

async function writeAll(
  restore: RestoreDriver,
  reserved: readonly ReservedDisk[],
  bytes: Restoring['bytes'],
): Promise<void> {
  for (const it of reserved) {
    await using target = await restore.open(it, signal);
    await rewriteDisk(diskOf(bytes[it.name]!), target, { isEmpty: false, onProgress() {} });
  }
}

async function restored(host: Hypervisor, { plan, bytes }: Restoring): Promise<string> {
  const restore = restoreOf(host);
  const reserved = await restore.reserve(plan, signal);
  await writeAll(restore, reserved, bytes);
  return restore.define(plan, reserved, signal);
}

async function expectWhole(rig: RunTestHost, id: string, bytes: Restoring['bytes']): Promise<void> {
  const machine = await rig.made(id);
  for (const [name, expected] of Object.entries(bytes)) {
    deepEqual(Buffer.compare(await machine.contents(name), expected), 0, name);
  }
}

function wholeConforms(test: Test, open: () => Promise<RunTestHost>): void {
  test('a machine is written back: off, whole, with its disks, and no longer ours', async () => {
    await using rig = await open();
    const restoring = await planned(rig);
    await using host = await rig.connect();
    const id = await restored(host, restoring);
    equal(id, restoring.plan.uuid);
    const [found, ...others] = await host.machines(signal);
    deepEqual([found, others], [{ id, name: restoring.plan.name, power: 'off' }, []]);
    await expectWhole(rig, id, restoring.bytes);
    deepEqual([await rig.sessionTraces(), (await rig.poolDisks()).length], [[], 2]);
    const restore = restoreOf(host);
    for (let times = 0; times < 2; times++) {
      await restore.setAutostart(id, true, signal);
      await restore.powerOn(id, signal);
      // It is the host's own: nothing of it is removed.
      await restore.withdraw(restoring.plan, signal);
    }
    equal((await host.machines(signal))[0]?.power, 'on');
    await expectWhole(rig, id, restoring.bytes);
  });

  test('until it is defined there is no machine, and what was made is removed', async () => {
    await using rig = await open();
    const { plan, bytes } = await planned(rig);
    await using host = await rig.connect();
    const restore = restoreOf(host);
    const reserved = await restore.reserve(plan, signal);
    await writeAll(restore, reserved, bytes);
    deepEqual(await host.machines(signal), []);
    equal((await rig.sessionTraces()).length, 2);
    for (let times = 0; times < 2; times++) await restore.withdraw(plan, signal);
    deepEqual([await rig.sessionTraces(), await rig.poolDisks()], [[], []]);
  });

  test('a disk is written once, in any order, and after a flush it is only read', async () => {
    await using rig = await open();
    const { plan } = await planned(rig);
    await using host = await rig.connect();
    const restore = restoreOf(host);
    const [first] = await restore.reserve(plan, signal);
    await using disk = await restore.open(first!, signal);
    await disk.zero(0, first!.size, 'cached');
    const before = new Uint8Array(MIB).fill(1);
    await disk.read(before, 100);
    ok(before.every((it) => it === 0));
    // Writes of all lengths, over each other, and not in order.
    const model = new Uint8Array(first!.size);
    const writes = [
      [700_000, 300_000],
      [0, 1],
      [65_535, 2],
      [699_999, 131_072],
      [model.length - 1, 1],
    ] as const;
    for (const [at, length] of writes) {
      const part = noise(length, at);
      model.set(part, at);
      await disk.write(part, at, 'cached');
    }
    model.fill(0, 710_000, 740_000);
    await disk.zero(710_000, 30_000, 'cached');
    await disk.flush();
    const all = new Uint8Array(model.length);
    await disk.read(all, 0);
    equal(Buffer.compare(all, model), 0);
    await rejects(disk.write(new Uint8Array(512), 0, 'cached'), { code: 'READ_ONLY' });
  });

  test('a name or UUID that is taken is EXISTS; a pool that is not there or is full is refused', async () => {
    await using rig = await open();
    const { plan, bytes } = await planned(rig, { isGone: false });
    await using host = await rig.connect();
    const restore = restoreOf(host);
    const [old] = await host.machines(signal);
    const reserved = await restore.reserve(plan, signal);
    await writeAll(restore, reserved, bytes);
    equal((await failureOf(restore.define(plan, reserved, signal)))?.code, 'EXISTS');
    const same = { ...plan, name: 'free', uuid: old!.id };
    equal((await failureOf(restore.define(same, reserved, signal)))?.code, 'EXISTS');
    await restore.withdraw(plan, signal);
    deepEqual([await host.machines(signal), await rig.poolDisks()], [[old], []]);
    for (const [pool, code] of [
      [rig.fullPool, 'NO_SPACE'],
      ['no such pool', 'NOT_FOUND'],
    ]) {
      const failure = await failureOf(restore.reserve({ ...plan, pool: pool! }, signal));
      equal(failure?.code, code);
    }
    deepEqual(await rig.poolDisks(), []);
  });

  test('the machine whose place it takes keeps its disks, under another name', async () => {
    await using rig = await open();
    const restoring = await planned(rig, { isGone: false });
    await using host = await rig.connect();
    const [old] = await host.machines(signal);
    const run = runOf(host);
    await run.setAside(old!.id, restoring.plan.session, signal);
    const id = await restored(host, restoring);
    await run.leaveAside(old!.id, restoring.plan.session, signal);
    const machines = await host.machines(signal);
    equal(machines.find((it) => it.id === id)?.name, restoring.plan.name);
    ok(machines.some((it) => it.id === old!.id && it.name !== restoring.plan.name));
    deepEqual(await rig.sessionTraces(), []);
  });
}

/** How a plan cannot be carried out, and the code that says so. */
const TROUBLES: readonly {
  readonly code: FindingCode;
  readonly make: (rig: RunTestHost, plan: RestorePlan) => RestorePlan;
}[] = [
  { code: 'target-space', make: (rig, plan) => ({ ...plan, pool: rig.fullPool }) },
  { code: 'target-space', make: (_, plan) => ({ ...plan, pool: 'no such pool' }) },
  {
    code: 'network',
    make: (_, plan) => ({ ...plan, networks: { '52:54:00:12:34:56': 'no such network' } }),
  },
];

function checksConform(test: Test, open: () => Promise<RunTestHost>): void {
  test('nothing stands in the way where the place is free, and a check changes nothing', async () => {
    await using rig = await open();
    const { plan } = await planned(rig);
    await using host = await rig.connect();
    const restore = restoreOf(host);
    const check = async (it: RestorePlan) => [
      ...(await restore.check(it, signal)),
      ...(await restore.checkDisks(it, signal)),
    ];
    deepEqual(await check(plan), []);
    for (const { code, make } of TROUBLES) {
      const findings = await check(make(rig, plan));
      const found = findings.find((it) => it.code === code);
      equal(found?.level, 'blocker');
      ok((found.remedy ?? '').length > 0);
    }
    await rig.machine({ name: plan.name, disks: { vda: 65_536 }, isOff: true });
    const [taken] = await check(plan);
    deepEqual([taken?.level, taken?.code], ['blocker', 'name']);
    deepEqual([await rig.sessionTraces(), await rig.poolDisks()], [[], []]);
  });
}

function attachingConforms(test: Test, open: () => Promise<RunTestHost>): void {
  for (const isOff of [false, true]) {
    test(`a disk becomes one of a machine that is ${isOff ? 'off' : 'on'}, once, and stays`, async () => {
      await using rig = await open();
      const { plan, bytes } = await planned(rig);
      const machine = await rig.machine({ name: 'web2', disks: { vda: 65_536 }, isOff });
      await using host = await rig.connect();
      const restore = restoreOf(host);
      const disks = plan.disks.slice(0, 1);
      deepEqual(await restore.checkAttach(machine.id, signal), []);
      const [reserved] = await restore.reserve({ ...plan, disks }, signal);
      await writeAll(restore, [reserved!], bytes);
      const disk = { ...reserved!, sectorBytes: 512 } as const;
      for (let times = 0; times < 2; times++) {
        equal(await restore.attach(machine.id, disk, signal), 'vdb');
        await restore.withdraw(plan, signal);
      }
      const made = await rig.made(machine.id);
      equal(Buffer.compare(await made.contents('vdb'), bytes['vda']!), 0);
      if (!isOff) {
        await machine.shutDown();
        equal(Buffer.compare(await made.contents('vdb'), bytes['vda']!), 0);
      }
      equal((await failureOf(restore.checkAttach(NO_MACHINE, signal)))?.code, 'NOT_FOUND');
      deepEqual(await rig.sessionTraces(), []);
    });
  }
}

const MISHAPS: readonly Mishap[] = ['cut-before', 'cut-after', 'FAILED', 'NO_SPACE'];

export function restoreInterruptionsConform(
  test: Test,
  open: () => Promise<RunTestHost>,
  { stride = 1 }: SuiteOptions,
): void {
  for (const mishap of MISHAPS) {
    test(`${mishap} at any call of a restore: nothing is left, or the whole machine`, async () => {
      for (let at = 1; ; at += stride) {
        await using rig = await open();
        const restoring = await planned(rig);
        let calls = 0;
        const onCall = (_name: string, count: number): Mishap | undefined => {
          calls = count;
          return count === at ? mishap : undefined;
        };
        const failure = await attempt(rig, restoring, onCall);
        await using second = await rig.connect();
        await restoreOf(second).withdraw(restoring.plan, signal);
        const machines = await second.machines(signal);
        const where = `${mishap} at call ${at}`;
        deepEqual(await rig.sessionTraces(), [], where);
        equal((await rig.poolDisks()).length, machines.length === 0 ? 0 : 2, where);
        for (const { id } of machines) await expectWhole(rig, id, restoring.bytes);
        if (calls < at) {
          deepEqual([failure, machines.length], [undefined, 1]);
          break;
        }
      }
    });
  }
}

/** What a process does until it is cut off; a device's errors have the host's as their cause. */
async function attempt(
  rig: RunTestHost,
  restoring: Restoring,
  onCall: (name: string, count: number) => Mishap | undefined,
): Promise<unknown> {
  try {
    await using host = await rig.connect({ onCall });
    await restored(host, restoring);
    return undefined;
  } catch (cause) {
    const own = cause instanceof Error ? (cause.cause ?? cause) : cause;
    if (!(own instanceof HypervisorError)) throw cause;
    return own;
  }
}
