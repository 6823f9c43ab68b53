import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { test } from 'tap';
import { checkDisks, expectSound } from '../support/checked-guest.ts';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { libvirtTestHost } from '../support/libvirt-test-host.ts';
import { libvirtWire } from '../support/libvirt-wire.ts';
import { remember, remembered } from '../support/machine-memory.ts';
import { program } from '../support/programs.ts';
import { noise } from '../support/random.ts';
import { savedMachine } from '../support/saved-machine.ts';
import { until } from '../support/until.ts';

// The rest of what other tests rely on: see libvirt-rig.test.ts.

const MIB = 2 ** 20;
const SIZE = 262_144;
const how = { skip: libvirtMissing, timeout: 600_000 };

test('a machine with UEFI and a TPM keeps what its guest puts there', how, async () => {
  await using host = await libvirtHost();
  const disk = { target: 'vda', path: await host.disk('vda.qcow2', { size: 64 * MIB }) };
  const plan = { name: 'secret1', disks: [disk], isUefi: true, hasTpm: true };
  const machine = await host.define(plan);
  await machine.start();
  await remember(machine, 'holdfast');
  await machine.shutDown();
  await machine.start();
  deepEqual(await remembered(machine), { nvram: 'holdfast', tpm: 'holdfast' });
});

test(
  'disks are attached and grow while the guest writes, and it rests when asked',
  how,
  async () => {
    await using host = await libvirtHost();
    const [sda, vda] = [
      await host.disk('sda.raw', { size: 64 * MIB, format: 'raw' }),
      await host.disk('vda.qcow2', { size: 64 * MIB }),
    ];
    const disks = [{ target: 'sda', path: sda, format: 'raw' as const }];
    const machine = await host.define({ name: 'grows', disks, agent: 'silent' });
    await machine.start();
    await machine.attach({ target: 'vda', path: vda });
    await machine.report(/^CHECKED vda/);
    await host.virsh('blockresize', 'grows', vda, '128MiB');
    await until('the guest sees it', async () =>
      (await machine.run('cat /sys/block/vda/size')).includes(String((128 * MIB) / 512)),
    );
    await machine.durable(2);
    const last = await machine.rest();
    equal(await machine.durable(0), last);
    await machine.resume();
    const durable = await machine.durable(2);
    await machine.destroy();
    const qcow2 = { file: vda, format: 'qcow2' } as const;
    expectSound(await checkDisks(qcow2), durable);
    expectSound(await checkDisks({ file: sda, format: 'raw' }), durable);
  },
);

test('a test that is killed leaves no libvirtd, no machine and no file', how, async () => {
  const support = new URL('../support/libvirt.ts', import.meta.url).href;
  const script = `
    const { libvirtHost } = await import('${support}');
    const host = await libvirtHost();
    const path = await host.disk('vda.qcow2', { size: ${64 * MIB} });
    await (await host.define({ name: 'orphan', disks: [{ target: 'vda', path }] })).start();
    console.log(host.directory);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [printed] = (await once(child.stdout, 'data')) as [Buffer];
  const directory = printed.toString().trim();
  ok(existsSync(directory));
  child.kill('SIGKILL');
  // It is removed last, by what has ended all else.
  await until('all is gone', () => !existsSync(directory));
});

test(
  'a host as the conformance suite sees it does what its administrators and guests do',
  how,
  async () => {
    await using host = await libvirtHost();
    await using wire = libvirtWire(host);
    const saved = await savedMachine(host);
    await using rig = libvirtTestHost(host, saved);
    const machine = await rig.machine({ name: 'web1', disks: { vda: SIZE }, excluded: ['sda'] });
    const other = await rig.machine({ name: 'web2', disks: { vda: SIZE }, hasAgent: false });
    const bytes = noise(30_000, 1);
    const reads = async (disk: string) =>
      Buffer.compare((await machine.contents(disk)).subarray(12_288, 42_288), bytes) === 0;

    await machine.write('vda', 12_288, bytes);
    ok(await reads('vda'));
    await host.virsh('domfsfreeze', machine.id);
    ok((await machine.isFrozen()) && !(await other.isFrozen()));
    await host.virsh('domfsthaw', machine.id);
    await machine.addForeignCheckpoint();
    const traces = ['checkpoint other-product-1'];
    deepEqual(await machine.traces(), traces);
    {
      await using _job = await machine.runForeignJob();
      ok((await machine.traces()).includes('job'));
    }
    await machine.loseTracking();
    deepEqual(await machine.traces(), traces);
    await machine.addDisk('vdb', SIZE);
    await machine.growDisk('vdb', 2 * SIZE);
    await machine.write('vdb', 12_288, bytes);
    await machine.shutDown();
    ok(!(await machine.isRunning()) && (await reads('vdb')));
    await machine.rename('web3');
    await machine.start();
    await machine.removeDisk('vdb');
    await machine.makeInternalSnapshot();
    await machine.redefine();
    deepEqual(await machine.traces(), []);
    ok(await reads('vda'));

    const called: string[] = [];
    const socket = await wire.socket((name) => void called.push(name));
    const list = () =>
      program('virsh', '-c', `qemu+unix:///system?socket=${socket}`, 'list', '--name');
    deepEqual((await list()).trim().split('\n').sort(), ['web2', 'web3']);
    ok(called.length > 3);
    wire.setUp(false);
    await rejects(list());
  },
);
