import { deepEqual, equal, ok } from 'node:assert/strict';
import type { Tracking } from '../../src/formats/store/catalog/machine.ts';
import type { SnapshotDisk } from '../../src/hypervisors/base/backup-driver.ts';
import { below, noise, seeded } from '../support/random.ts';
import { madeMachine, NAMES, SIZE } from './backups.ts';
import type { Test, TestHost, TestMachine } from './rig.ts';
import { begin, endless, failureOf, type Point, same, take, truth } from './taking.ts';

/** How changes get lost, of a machine whose last point was just made. */
const LOSSES: Readonly<Record<string, (machine: TestMachine) => Promise<void>>> = {
  'a power loss': (it) => it.loseTracking(),
  'undefining and defining it': (it) => it.redefine(),
};

export function changesConform(test: Test, open: () => Promise<TestHost>): void {
  countingConforms(test, open);
  losingConforms(test, open);
}

function countingConforms(test: Test, open: () => Promise<TestHost>): void {
  test('changes contain all that was written since the point, and over it give the disk', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const random = seeded(1);
    let point = await take(host, machine);
    for (let round = 0; round < 5; round++) {
      await writeAround(machine, random, 6);
      const then = await truth(machine, NAMES);
      point = await take(host, machine, {
        since: point,
        onBegun: async ({ disks }) => {
          for (const disk of disks) requireCounted(disk);
          // What is written in the meantime is the next one's.
          await writeAround(machine, random, 3);
        },
      });
      same(point.disks, then);
    }
    await using snapshot = await begin(host, machine, { since: point });
    ok(snapshot.disks.some(({ changed }) => changed!.length > 0));
  });

  test('a machine that wrote nothing has no changes', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const point = await take(host, machine);
    await using snapshot = await begin(host, machine, { since: point });
    for (const { changed } of snapshot.disks) deepEqual(changed, []);
  });

  test('what was not published does not count: the next one counts from the point, too', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const point = await take(host, machine);
    const random = seeded(2);
    for (let round = 0; round < 3; round++) {
      await writeAround(machine, random, 2);
      await using unpublished = await begin(host, machine, { since: point });
      ok(unpublished.tracking !== undefined);
    }
    same((await take(host, machine, { since: point })).disks, await truth(machine, NAMES));
  });

  test('counting is from the point that is named, not from the newest on the host', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    await using other = await rig.connect({ owner: 'other' });
    const point = await take(host, machine);
    await writeAround(machine, seeded(3), 4);
    await machine.addForeignCheckpoint();
    await take(other, machine);
    await machine.write('vda', 200_000, noise(5000, 1));
    same((await take(host, machine, { since: point })).disks, await truth(machine, NAMES));
  });

  test('once a point is accepted, what the one before needed is gone', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    let point = await take(host, machine);
    const { length } = await machine.traces();
    for (let round = 0; round < 3; round++) {
      await writeAround(machine, seeded(round), 2);
      point = await take(host, machine, { since: point });
      equal((await machine.traces()).length, length);
    }
    deepEqual(await host.backup.tidy(machine.id, [point.tracking!], endless()), []);
  });

  test('a guest may be shut down and started between backups', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const point = await take(host, machine);
    await writeAround(machine, seeded(4), 3);
    await machine.shutDown();
    await machine.start();
    await writeAround(machine, seeded(5), 3);
    same((await take(host, machine, { since: point })).disks, await truth(machine, NAMES));
  });
}

function losingConforms(test: Test, open: () => Promise<TestHost>): void {
  for (const [what, lose] of Object.entries(LOSSES)) {
    test(`after ${what} what cannot be counted is read, with the reason, and counts again`, async () => {
      await using rig = await open();
      const machine = await madeMachine(rig);
      await using host = await rig.connect();
      const point = await take(host, machine);
      await lose(machine);
      await writeAround(machine, seeded(6), 3);
      const then = await truth(machine, NAMES);
      await host.backup.tidy(machine.id, [point.tracking!], endless());
      const next = await take(host, machine, {
        since: point,
        onBegun: async ({ disks }) => {
          for (const { changed, why } of disks) equal(changed === undefined, why !== undefined);
        },
      });
      same(next.disks, then);
      await counts(rig, machine, next);
    });
  }

  test('a first backup has no changes, and needs no reason', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    await using snapshot = await begin(host, machine);
    for (const { changed, why } of snapshot.disks)
      deepEqual([changed, why], [undefined, undefined]);
  });

  test('a disk that was added is read whole, with the reason; the others are counted', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const point = await take(host, machine);
    await machine.addDisk('vdc', SIZE);
    await machine.write('vdc', 0, noise(9000, 1));
    const names = [...NAMES, 'vdc'];
    const next = await take(host, machine, {
      since: point,
      onBegun: async ({ disks }) => {
        for (const disk of disks) {
          if (disk.name === 'vdc') ok(disk.changed === undefined && disk.why);
          else requireCounted(disk);
        }
      },
    });
    same(next.disks, await truth(machine, names));
  });

  test('a disk that was taken out is not read; another one of its name is read whole', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const point = await take(host, machine);
    await machine.removeDisk('vdb');
    const without = await take(host, machine, { since: point });
    same(without.disks, await truth(machine, ['vda']));
    await machine.addDisk('vdb', SIZE);
    await machine.write('vdb', 100_000, noise(9000, 1));
    const next = await take(host, machine, { since: without });
    same(next.disks, await truth(machine, NAMES));
  });

  test('a disk that has grown is whole: the rest by its changes, what was added besides', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const point = await take(host, machine);
    await machine.growDisk('vda', 2 * SIZE);
    await machine.write('vda', SIZE - 2000, noise(9000, 1));
    const next = await take(host, machine, { since: point });
    same(next.disks, await truth(machine, NAMES));
    await counts(rig, machine, next);
  });

  test('a machine with internal snapshots is read, and is not tracked', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    await machine.makeInternalSnapshot();
    const before = await machine.traces();
    const point = await take(host, machine);
    same(point.disks, await truth(machine, NAMES));
    equal(point.tracking, undefined);
    deepEqual(await machine.traces(), before);
  });

  test('what another kind of hypervisor noted is no reason to fail', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const tracking: Tracking =
      host.kind === 'qemu'
        ? { kind: 'libvirt', checkpoint: 'holdfast-1' }
        : { kind: 'qemu', bitmap: 'holdfast-1' };
    const before: Point = { disks: new Map(), tracking };
    let whys: readonly (string | undefined)[] = [];
    const taking = take(host, machine, {
      since: before,
      onBegun: async ({ disks }) => void (whys = disks.map(({ why }) => why)),
    });
    equal(await failureOf(taking), undefined);
    ok(whys.length === 2 && whys.every((why) => why));
  });
}

/** The next increment is one. */
async function counts(rig: TestHost, machine: TestMachine, point: Point): Promise<void> {
  await using host = await rig.connect();
  await writeAround(machine, seeded(9), 3);
  const next = await take(host, machine, {
    since: point,
    onBegun: async ({ disks }) => {
      for (const disk of disks) requireCounted(disk);
    },
  });
  same(next.disks, await truth(machine, [...next.disks.keys()]));
}

function requireCounted({ name, changed, why, device }: SnapshotDisk): void {
  ok(changed, `disk ${name} is read whole: ${why}`);
  equal(why, undefined);
  let end = 0;
  for (const { offset, length } of changed) {
    ok(offset >= end && length > 0, `disk ${name}: ${offset}+${length} after ${end}`);
    end = offset + length;
  }
  ok(end <= device.geometry.size);
}

async function writeAround(machine: TestMachine, random: () => number, count: number) {
  for (let n = 0; n < count; n++) {
    const length = 512 * (1 + below(random, 20));
    const offset = 512 * below(random, (SIZE - length) / 512);
    await machine.write(NAMES[n % 2]!, offset, noise(length, below(random, 1000)));
  }
}
