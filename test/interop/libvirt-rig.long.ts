import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { test } from 'tap';
import { checkDisks, expectSound } from '../support/checked-guest.ts';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { remember, remembered } from '../support/machine-memory.ts';
import { until } from '../support/until.ts';

// The rest of what other tests rely on: see libvirt-rig.test.ts.

const MIB = 2 ** 20;
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
