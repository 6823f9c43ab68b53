import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { BlockError } from '../../src/block/block-error.ts';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { libvirtTestHost } from '../support/libvirt-test-host.ts';
import { noise } from '../support/random.ts';
import { savedMachine } from '../support/saved-machine.ts';
import { backupsConform, madeMachine, NAMES, SIZE } from './backups.ts';
import { checksConform } from './checks.ts';
import { libvirtDisksConform } from './libvirt-disks.ts';
import { othersConform } from './libvirt-others.ts';
import type { Test, TestMachine } from './rig.ts';
import { begin, endless, failureOf, same, take, truth, WISH } from './taking.ts';

// A real libvirtd. The rest of the suite takes too long for each commit: libvirt.long.ts.

test('libvirt is as any hypervisor', { skip: libvirtMissing, timeout: 900_000 }, async (t) => {
  await using host = await libvirtHost();
  const saved = await savedMachine(host);
  const open = async () => libvirtTestHost(host, saved);
  const tests: Promise<unknown>[] = [];
  const each: Test = (name, body) => tests.push(t.test(name, body));
  checksConform(each, open);
  backupsConform(each, open);
  libvirtDisksConform(each, { host, saved });
  othersConform(each, { host, saved });

  each(
    'a machine that is destroyed in the middle of a backup counts from its last point',
    async () => {
      await using rig = await open();
      const machine = await madeMachine(rig);
      await using driver = await rig.connect();
      const point = await take(driver, machine);
      const traces = await counting(machine);
      await machine.write('vda', 30_000, noise(5000, 1));
      {
        await using snapshot = await begin(driver, machine, { since: point });
        await machine.shutDown();
        const [disk] = snapshot.disks;
        await rejects(disk!.device.read(new Uint8Array(512), 0), BlockError);
      }
      await machine.start();
      await driver.backup.tidy(machine.id, [point.tracking!], endless());
      deepEqual(await counting(machine), traces);
      await machine.write('vdb', 60_000, noise(5000, 2));
      const next = await take(driver, machine, {
        since: point,
        onBegun: async ({ disks }) => ok(disks.every(({ changed }) => changed)),
      });
      same(next.disks, await truth(machine, NAMES));
      equal((await counting(machine)).length, 1, 'the checkpoint of the last point');
    },
  );

  each('a checkpoint that lacks a bitmap goes, and takes the others with it', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await machine.addDisk('vdc', SIZE);
    await using driver = await rig.connect();
    const { tracking } = await take(driver, machine);
    const bitmap = tracking?.kind === 'libvirt' ? tracking.checkpoint : '';
    const monitor = (execute: string, words: object) =>
      host.virsh('qemu-monitor-command', machine.id, JSON.stringify({ execute, arguments: words }));
    const nodes = JSON.parse(await monitor('query-named-block-nodes', { flat: true })) as {
      return: { drv: string; file: string; 'node-name': string }[];
    };
    const vdb = nodes.return.find(({ drv, file }) => drv === 'qcow2' && file.endsWith('vdb.qcow2'));
    await monitor('block-dirty-bitmap-remove', { node: vdb!['node-name'], name: bitmap });
    const [said = ''] = await driver.backup.tidy(machine.id, [], endless());
    match(said, /was removed/);
    deepEqual(await counting(machine), []);
  });

  each(
    'a checkpoint of a machine that is off stays until it runs, and is not said to be gone',
    async () => {
      await using rig = await open();
      const machine = await madeMachine(rig);
      await using driver = await rig.connect();
      await take(driver, machine);
      await machine.shutDown();
      const traces = await counting(machine);
      deepEqual(await driver.backup.tidy(machine.id, [], endless()), []);
      deepEqual(await counting(machine), traces);
      await machine.start();
      equal((await driver.backup.tidy(machine.id, [], endless())).length, 1);
      deepEqual(await counting(machine), []);
    },
  );

  each('a checkpoint that cannot be removed now is named, and keeps its bitmaps', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using driver = await rig.connect();
    await take(driver, machine);
    const traces = await counting(machine);
    await using failing = await rig.connect({
      onCall: (name) => (/delete/i.test(name) ? 'FAILED' : undefined),
    });
    const [said = ''] = await failing.backup.tidy(machine.id, [], endless());
    match(said, /could not be removed/);
    deepEqual(await counting(machine), traces);
  });

  each(
    'a machine whose memory is saved is told from one that is off: its disks are as after a power cut',
    async () => {
      await using rig = await open();
      const machine = await madeMachine(rig);
      await using driver = await rig.connect();
      const powers = async () =>
        (await driver.machines(endless())).filter(({ id }) => id === machine.id);
      const point = await take(driver, machine);
      await machine.write('vda', 30_000, noise(5000, 3));
      await host.virsh('managedsave', machine.id);
      deepEqual(
        (await powers()).map(({ power }) => power),
        ['saved'],
      );
      const wish = { ...WISH, fallBack: false };
      equal((await failureOf(begin(driver, machine, { since: point, wish })))?.code, 'UNSUPPORTED');
      const notices: string[] = [];
      const next = await take(driver, machine, {
        since: point,
        onNotice: (it) => notices.push(it),
        onBegun: async ({ consistency: { got, why } }) => {
          equal(got, 'crash');
          match(why ?? '', /its memory is saved/);
        },
      });
      same(next.disks, await truth(machine, NAMES));
      match(notices.join(), /its memory is saved/);
      await host.virsh('managedsave-remove', machine.id);
      deepEqual(
        (await powers()).map(({ power }) => power),
        ['off'],
      );
    },
  );
  await Promise.all(tests);
});

/** Checkpoints and bitmaps. The socket of a QEMU that was destroyed stays as a file. */
async function counting(machine: TestMachine): Promise<readonly string[]> {
  return (await machine.traces()).filter((it) => !it.startsWith('file '));
}
