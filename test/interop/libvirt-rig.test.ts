import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { checkDisks, expectSound } from '../support/checked-guest.ts';
import { type LibvirtHost, libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { program } from '../support/programs.ts';

// The hypervisor and the guest that other tests rely on, used by hand: backups by virsh and libnbd alone.

const MIB = 2 ** 20;

test('a guest’s disks are read by hand in a backup of libvirt’s, full and incremental', {
  skip: libvirtMissing,
  timeout: 240_000,
}, async (t) => {
  await using host = await libvirtHost();
  const disks = await Promise.all(
    ['vda', 'vdb'].map(async (target) => ({
      target,
      path: await host.disk(`web1-${target}.qcow2`, { size: 64 * MIB }),
    })),
  );
  const web1 = await host.define({ name: 'web1', disks });
  await web1.start();
  const durable = await web1.durable(2);

  await t.test('all disks are of one moment, and were at rest in it', async () => {
    await host.virsh('domfsfreeze', 'web1');
    try {
      await begin(host, 'full', undefined);
    } finally {
      await host.virsh('domfsthaw', 'web1');
    }
    const copies = await copyDisks(host, 'full');
    await host.virsh('domjobabort', 'web1');
    const checked = await checkDisks(...copies);
    expectSound(checked, durable);
    ok(checked.every(({ journal }) => journal === 'clean'));
  });

  await t.test('the guest writes on, and an increment tells what changed', async () => {
    await web1.durable(2);
    await begin(host, 'increment', 'full');
    const uri = `nbd+unix:///vda?socket=${join(host.sockets, 'increment')}`;
    const map = await program('nbdinfo', '--map=qemu:dirty-bitmap:backup-vda', uri);
    match(map, /1\s+dirty$/m);
    match(map, /0\s+clean$/m);
    await host.virsh('domjobabort', 'web1');
  });

  await t.test('libvirtd starts again, and the guest has noticed nothing', async () => {
    const before = await web1.durable();
    await host.restart('kill');
    equal(await web1.state(), 'running');
    ok((await web1.durable()) > before);
  });

  await t.test('its QEMU is killed, and it finds all its records again', async () => {
    const before = await web1.durable();
    await web1.kill();
    await web1.start();
    expectSound(await web1.checked(2), before);
    equal((await web1.run('cat /sys/block/vdb/serial')).trim(), 'vdb');
  });

  await t.test(
    'a power cut between two disks costs no record, and one that is bad stays bad',
    async () => {
      const restarted = async () => {
        await web1.destroy();
        await web1.start();
        return web1.checked(2);
      };
      const cut = await web1.rest();
      await web1.run(`rm /disks/vdb/records/${cut}-* && sync`);
      const after = await restarted();
      expectSound(after, cut - 1);
      equal(after[1]!.last, cut - 1);
      await web1.durable(2);
      expectSound(await restarted(), cut + 1);
      const older = (await web1.rest()) - 5;
      await web1.run(`rm /disks/vdb/records/${older}-* && sync`);
      const [vda, vdb] = await restarted();
      deepEqual([vda!.bad, vdb!.bad], [0, 1]);
      await web1.shutDown();
    },
  );
});

async function begin(host: LibvirtHost, name: string, since: string | undefined): Promise<void> {
  const [backup, checkpoint] = [join(host.directory, 'backup.xml'), join(host.directory, 'cp.xml')];
  writeFileSync(
    backup,
    `<domainbackup mode='pull'>${since === undefined ? '' : `<incremental>${since}</incremental>`}
      <server transport='unix' socket='${join(host.sockets, name)}'/></domainbackup>`,
  );
  writeFileSync(checkpoint, `<domaincheckpoint><name>${name}</name></domaincheckpoint>`);
  await host.virsh('backup-begin', 'web1', backup, checkpoint);
}

function copyDisks(host: LibvirtHost, name: string) {
  return Promise.all(
    ['vda', 'vdb'].map(async (disk) => {
      const file = join(host.directory, `${disk}.copy`);
      const uri = `nbd+unix:///${disk}?socket=${join(host.sockets, name)}`;
      await program('nbdcopy', uri, file);
      return { file, format: 'raw' as const };
    }),
  );
}
