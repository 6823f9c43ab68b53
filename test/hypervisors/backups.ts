import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import type { Tracking } from '../../src/formats/store/catalog/machine.ts';
import type { MachineSnapshot } from '../../src/hypervisors/base/backup-driver.ts';
import { noise } from '../support/random.ts';
import type { SuiteOptions, Test, TestHost, TestMachine } from './rig.ts';
import { begin, endless, failureOf, same, take, truth, WISH } from './taking.ts';

export const SIZE = 262_144;
export const NAMES = ['vda', 'vdb'];

/** A machine with two disks that have something on them, and one that no backup can read. */
export async function madeMachine(rig: TestHost, hasAgent = true): Promise<TestMachine> {
  const disks = { vda: SIZE, vdb: SIZE };
  const machine = await rig.machine({ name: 'web1', disks, excluded: ['sda'], hasAgent });
  for (const name of NAMES) await machine.write(name, 12_288, noise(30_000, name.charCodeAt(2)));
  return machine;
}

export function backupsConform(
  test: Test,
  open: () => Promise<TestHost>,
  options: SuiteOptions = {},
): void {
  momentsConform(test, open, options);
  confirmingConforms(test, open, options);
  consistencyConforms(test, open);
  choicesConform(test, open);
}

function momentsConform(
  test: Test,
  open: () => Promise<TestHost>,
  { knowsOff = true }: SuiteOptions,
): void {
  test('a backup is one moment of all disks: what guests write later does not show', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const then = await truth(machine, NAMES);
    const point = await take(host, machine, {
      onBegun: async () => {
        for (const name of NAMES) await machine.write(name, 20_000, noise(50_000, 7));
      },
    });
    same(point.disks, then);
    const extents = await begin(host, machine);
    await using snapshot = extents;
    const [disk] = snapshot.disks;
    equal(disk!.device.geometry.size, SIZE);
    ok((await disk!.device.extents(0, SIZE)).length > 0);
  });

  test('a second backup of the machine is BUSY, also beside one of others', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    {
      await using first = await begin(host, machine);
      const traces = await machine.traces();
      await using other = await rig.connect({ owner: 'other' });
      equal((await failureOf(begin(host, machine)))?.code, 'BUSY');
      equal((await failureOf(begin(other, machine)))?.code, 'BUSY');
      // The one that runs goes on.
      deepEqual(await machine.traces(), traces);
      await first.disks[0]!.device.read(new Uint8Array(SIZE), 0);
    }
    {
      await using _foreign = await machine.runForeignJob();
      equal((await failureOf(begin(host, machine)))?.code, 'BUSY');
    }
    await take(host, machine);
    equal(await machine.isFrozen(), false);
  });

  test('disposing ends all: the host is as before, devices are closed, the machine runs', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    const before = await machine.traces();
    await using host = await rig.connect();
    const snapshot = await begin(host, machine);
    await snapshot[Symbol.asyncDispose]();
    await snapshot[Symbol.asyncDispose]();
    deepEqual(await machine.traces(), before);
    const [disk] = snapshot.disks;
    await rejects(disk!.device.read(new Uint8Array(512), 0), { code: 'CLOSED' });
    equal(await machine.isRunning(), true);
    await take(host, machine);
  });

  test('a machine that is off is read, too, or is not there', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await machine.shutDown();
    await using host = await rig.connect();
    if (!knowsOff) return equal((await failureOf(begin(host, machine)))?.code, 'NOT_FOUND');
    let consistency: MachineSnapshot['consistency'] | undefined;
    const point = await take(host, machine, {
      wish: { ...WISH, fallBack: false },
      onBegun: async (snapshot) => void ({ consistency } = snapshot),
    });
    same(point.disks, await truth(machine, NAMES));
    deepEqual([consistency?.got, consistency?.why], ['off', undefined]);
    equal(await machine.isRunning(), false);
  });
}

function confirmingConforms(
  test: Test,
  open: () => Promise<TestHost>,
  { knowsOff = true }: SuiteOptions,
): void {
  test('a machine that is turned off in the middle, and started again: what was read is not confirmed', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const point = await take(host, machine);
    {
      await using snapshot = await begin(host, machine, { since: point });
      for (const { device } of snapshot.disks) await device.read(new Uint8Array(SIZE), 0);
      await snapshot.confirm();
      await machine.shutDown();
      equal((await failureOf(snapshot.confirm()))?.code, 'FAILED');
      await machine.start();
      equal((await failureOf(snapshot.confirm()))?.code, 'FAILED');
    }
    await host.backup.tidy(machine.id, [point.tracking!], endless());
    same((await take(host, machine, { since: point })).disks, await truth(machine, NAMES));
  });

  if (knowsOff) {
    test('a machine that was off and is started in the middle: what was read is not confirmed', async () => {
      await using rig = await open();
      const machine = await madeMachine(rig);
      await machine.shutDown();
      await using host = await rig.connect();
      await using snapshot = await begin(host, machine);
      await snapshot.confirm();
      // Its disks may be locked, so that it gets none.
      await machine.start().catch(() => {});
      equal((await failureOf(snapshot.confirm()))?.code, 'FAILED');
      await machine.shutDown();
      equal((await failureOf(snapshot.confirm()))?.code, 'FAILED');
    });
  }

  test('what was read of a host that has gone away is not confirmed', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    await using snapshot = await begin(host, machine);
    await rig.setUp(false);
    equal((await failureOf(snapshot.confirm()))?.code, 'UNREACHABLE');
    await rig.setUp(true);
  });

  test('what the next counts from names the recovery point to which it belongs', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const options = { signal: endless(), onNotice() {} };
    let since: Tracking | undefined;
    for (const point of ['first', 'second', 'third']) {
      if (point === 'third' && knowsOff) await machine.shutDown();
      await using snapshot = await host.backup.begin(machine.id, WISH, since, {
        point,
        ...options,
      });
      since = snapshot.tracking;
      equal(since?.point, point);
      await snapshot.accept();
    }
  });
}

function consistencyConforms(test: Test, open: () => Promise<TestHost>): void {
  test('the wished consistency is reached, and the guest is thawed as soon as it is begun', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    for (const consistency of ['file-system', 'crash'] as const) {
      const wish = { ...WISH, consistency, fallBack: false };
      await using snapshot = await begin(host, machine, { wish });
      equal(await machine.isFrozen(), false);
      deepEqual(snapshot.consistency, { asked: consistency, got: consistency });
    }
  });

  test('programs that write out all are more than some agents do: it is that, or UNSUPPORTED', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const wish = { ...WISH, consistency: 'application' as const, fallBack: false };
    const began = begin(host, machine, { wish });
    const failure = await failureOf(began);
    equal(await machine.isFrozen(), false);
    if (failure) return equal(failure.code, 'UNSUPPORTED');
    await using snapshot = await began;
    equal(snapshot.consistency.got, 'application');
  });

  test('less consistency than wished is accepted with the reason, and reported', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig, false);
    await using host = await rig.connect();
    const notices: string[] = [];
    await using snapshot = await begin(host, machine, { onNotice: (it) => notices.push(it) });
    const { asked, got, why } = snapshot.consistency;
    deepEqual([asked, got], ['file-system', 'crash']);
    ok(why && notices.some((it) => it.includes(why)), notices.join());
  });

  test('where less is not accepted, it is UNSUPPORTED and leaves nothing', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig, false);
    const before = await machine.traces();
    await using host = await rig.connect();
    const wish = { ...WISH, fallBack: false };
    equal((await failureOf(begin(host, machine, { wish })))?.code, 'UNSUPPORTED');
    deepEqual(await machine.traces(), before);
    equal(await machine.isFrozen(), false);
  });
}

function choicesConform(test: Test, open: () => Promise<TestHost>): void {
  test('disks that are not read are described with the reason', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    for (const wish of [
      { ...WISH, exclude: ['vdb'] },
      { ...WISH, only: ['vda'] },
    ]) {
      await using snapshot = await begin(host, machine, { wish });
      deepEqual(
        snapshot.disks.map(({ name }) => name),
        ['vda'],
      );
      const { disks } = snapshot.described.machine;
      const reasons = new Map(disks.map(({ name, excluded }) => [name, excluded?.reason]));
      deepEqual([...reasons.keys()].sort(), ['sda', ...NAMES]);
      deepEqual([reasons.get('vda'), reasons.get('vdb')], [undefined, 'chosen']);
      ok(reasons.get('sda') !== undefined && reasons.get('sda') !== 'chosen');
    }
  });

  test('a wished disk that the machine has not is NOT_FOUND', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    for (const wish of [
      { ...WISH, exclude: ['vdz'] },
      { ...WISH, only: ['vdz'] },
    ]) {
      equal((await failureOf(begin(host, machine, { wish })))?.code, 'NOT_FOUND');
    }
  });

  test('tidy removes what is ours and nothing else', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await machine.addForeignCheckpoint();
    await using other = await rig.connect({ owner: 'other' });
    const { tracking } = await take(other, machine);
    const before = await machine.traces();
    await using host = await rig.connect();
    deepEqual(await host.backup.tidy(machine.id, [], endless()), []);
    await take(host, machine);
    {
      await using _foreign = await machine.runForeignJob();
      const during = await machine.traces();
      ok((await host.backup.tidy(machine.id, [], endless())).length > 0);
      equal((await machine.traces()).length, during.length - 1);
    }
    deepEqual(await machine.traces(), before);
    deepEqual(await other.backup.tidy(machine.id, [tracking!], endless()), []);
    deepEqual(await machine.traces(), before);
  });
}
