import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { checkDisks, expectSound } from '../support/checked-guest.ts';
import { expectDone, runCli } from '../support/cli.ts';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Machines of a real libvirt are backed up while their guests write, and what was stored is checked by its records.

const MIB = 2 ** 20;

test('a machine of libvirt is backed up while it runs', {
  skip: libvirtMissing,
  timeout: 240_000,
}, async (t) => {
  await using host = await libvirtHost();
  const root = temporaryDirectory();
  process.env['XDG_CONFIG_HOME'] = join(root, 'config');
  const store = join(root, 'store');
  const holdfast = (...words: readonly string[]) => runCli([...words, '--store', store, '--json']);
  await expectDone(holdfast('store', 'create', store));
  await expectDone(holdfast('set', 'create', 'nightly'));
  const uri = `qemu+unix:///system?socket=${host.socket}`;
  await expectDone(holdfast('hypervisor', 'add', 'kvm1', uri, '--sockets', host.sockets));
  const disks = await Promise.all(
    ['vda', 'vdb'].map(async (target) => ({
      target,
      path: await host.disk(`web1-${target}.qcow2`, { size: 64 * MIB }),
    })),
  );
  const web1 = await host.define({ name: 'web1', disks });
  await web1.start();
  const points: { readonly point: string; readonly durable: number }[] = [];

  async function backUp() {
    const durable = await web1.durable(2);
    const { result } = await expectDone(
      holdfast('backup', 'create', 'nightly', '--from', 'kvm1/web1'),
    );
    const made = (
      result['points'] as { point: string; scopes: { scope: string }[]; consistency: object }[]
    )[0]!;
    points.push({ point: made.point, durable });
    return made;
  }

  await t.test('a full backup, and increments', async () => {
    const full = await backUp();
    deepEqual(
      full.scopes.map(({ scope }) => scope),
      ['all', 'all'],
    );
    for (let i = 0; i < 3; i++) {
      const next = await backUp();
      deepEqual(
        next.scopes.map(({ scope }) => scope),
        ['changes', 'changes'],
      );
    }
    match(await host.virsh('checkpoint-list', 'web1', '--name'), /^holdfast-\S+\s*$/);
    equal(await web1.state(), 'running');
  });

  await t.test('it is ready, and listed with its last backup', async () => {
    const tested = await expectDone(holdfast('hypervisor', 'test', 'kvm1', 'web1'));
    equal(tested.result['ready'], true);
    const listed = await expectDone(holdfast('hypervisor', 'machines', 'kvm1', '--check'));
    const [machine] = listed.result['machines'] as {
      machine: string;
      bytes: number;
      last: { point: string };
    }[];
    deepEqual(
      [machine?.machine, machine?.bytes, machine?.last.point],
      ['web1', 128 * MIB, points.at(-1)?.point],
    );
  });

  await t.test('each recovery point has all records that were durable before it', async () => {
    const files: { file: string; format: 'raw' }[] = [];
    for (const { point } of points) {
      for (const disk of ['vda', 'vdb']) {
        const file = join(root, `${point}-${disk}.raw`);
        await expectDone(holdfast('restore', 'disk', point, disk, '--to', file));
        files.push({ file, format: 'raw' });
      }
    }
    // One guest looks at all of them, in their order.
    const checked = await checkDisks(...files);
    equal(checked.length, files.length);
    ok(checked.every(({ journal }) => journal === 'clean'));
    for (const { durable } of points) expectSound(checked.splice(0, 2), durable);
  });
});
