import { ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { BlockError } from '../../src/block/block-error.ts';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { libvirtTestHost } from '../support/libvirt-test-host.ts';
import { noise } from '../support/random.ts';
import { savedMachine } from '../support/saved-machine.ts';
import { backupsConform, madeMachine, NAMES } from './backups.ts';
import { checksConform } from './checks.ts';
import { libvirtDisksConform } from './libvirt-disks.ts';
import type { Test } from './rig.ts';
import { begin, endless, same, take, truth } from './taking.ts';

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

  each(
    'a machine that is destroyed in the middle of a backup counts from its last point',
    async () => {
      await using rig = await open();
      const machine = await madeMachine(rig);
      await using driver = await rig.connect();
      const point = await take(driver, machine);
      await machine.write('vda', 30_000, noise(5000, 1));
      {
        await using snapshot = await begin(driver, machine, { since: point });
        await machine.shutDown();
        const [disk] = snapshot.disks;
        await rejects(disk!.device.read(new Uint8Array(512), 0), BlockError);
      }
      await machine.start();
      await driver.backup.tidy(machine.id, [point.tracking!], endless());
      await machine.write('vdb', 60_000, noise(5000, 2));
      const next = await take(driver, machine, {
        since: point,
        onBegun: async ({ disks }) => ok(disks.every(({ changed }) => changed)),
      });
      same(next.disks, await truth(machine, NAMES));
    },
  );
  await Promise.all(tests);
});
