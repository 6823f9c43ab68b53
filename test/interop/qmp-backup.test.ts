import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { checkedGuestMissing } from '../support/checked-guest.ts';
import { expectDone } from '../support/cli.ts';
import { libvirtStore } from '../support/libvirt-store.ts';
import { program } from '../support/programs.ts';
import { askMonitor } from '../support/qmp-machine.ts';
import { guestDisk, qmpGuest } from '../support/qmp-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// A machine of plain QEMU is backed up while its guest writes, by the command line; QEMU and Holdfast are killed in
// between. What was stored is checked by the guest's records, and by qemu-img.

const MIB = 2 ** 20;
const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;

test('a machine of plain QEMU is backed up while it runs, whatever is killed', {
  skip: checkedGuestMissing,
  timeout: 300_000,
}, async (t) => {
  const root = temporaryDirectory();
  const disks = [
    await guestDisk(root, { name: 'vda', format: 'qcow2', size: 32 * MIB }),
    await guestDisk(root, { name: 'vdb', format: 'raw', size: 32 * MIB }),
  ];
  const store = await libvirtStore({ uri: `qemu+qmp://${root}`, sockets: root }, root);
  await using guest = await qmpGuest(root, 'web1', disks);
  const backUp = async () => store.backUp('web1', await guest.durable(2));
  const traces = async (): Promise<readonly string[]> => {
    const monitor = join(root, 'web1.qmp');
    const all: unknown[] = [];
    for (const [command, args] of [
      ['query-jobs'],
      ['query-block-exports'],
      ['query-named-block-nodes', { flat: true }],
    ] as const) {
      all.push(await askMonitor(monitor, command, args));
    }
    const names = new Set(JSON.stringify(all).match(/(?<=")holdfast-[\w-]+(?=")/g));
    return [...names, ...readdirSync(root).filter((it) => /scratch|\.nbd$/.test(it))];
  };
  await guest.start();

  await t.test('a full backup, and increments, of qcow2 and of raw images', async () => {
    const full = await backUp();
    deepEqual(full.scopes, { vda: 'all', vdb: 'all' });
    deepEqual(full.consistency, { asked: 'file-system', got: 'file-system' });
    for (let n = 0; n < 2; n++) {
      deepEqual((await backUp()).scopes, { vda: 'changes', vdb: 'changes' });
    }
    // The bitmap of the last one, and nothing else.
    equal((await traces()).length, 1);
  });

  await t.test('it is ready, and shown with what its QEMU was started with', async () => {
    const tested = await expectDone(store.holdfast('hypervisor', 'test', 'kvm1', 'web1'));
    equal(tested.result['ready'], true);
    const listed = await expectDone(store.holdfast('hypervisor', 'machines', 'kvm1', '--check'));
    const [machine] = listed.result['machines'] as { machine: string; bytes: number }[];
    deepEqual([machine?.machine, machine?.bytes], ['web1', 64 * MIB]);
  });

  await t.test('Holdfast is killed in the middle: the guest goes on, the next tidies', async () => {
    const words = ['backup', 'create', 'nightly', '--from', 'kvm1/web1'];
    const args = [MAIN, ...words, '--store', join(root, 'store'), '--json'];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    const ended = once(child, 'close');
    await until('its backup runs', async () => (await traces()).some((it) => /-\d+s$/.test(it)));
    child.kill('SIGKILL');
    await ended;
    const { scopes, said } = await backUp();
    deepEqual(scopes, { vda: 'changes', vdb: 'changes' });
    match(said, /unfinished backup was ended/);
    equal((await traces()).length, 1);
  });

  await t.test('QEMU is killed: all is read, which says why, and counts again', async () => {
    // A record that only one of the disks has would be missing on the other one for ever.
    await guest.rest();
    await guest.kill();
    const off = await store.holdfast('backup', 'create', 'nightly', '--from', 'kvm1/web1');
    ok(off.code !== 0);
    match(off.stdout + off.stderr, /no QEMU listens at .*web1\.qmp: the machine is off/);
    await guest.start();
    const { scopes, reasons } = await backUp();
    deepEqual(scopes, { vda: 'all', vdb: 'all' });
    match(reasons['vda']!, /QEMU was killed/);
    match(reasons['vdb']!, /raw: QEMU counts its changes only until it ends/);
    deepEqual((await backUp()).scopes, { vda: 'changes', vdb: 'changes' });
  });

  await t.test('QEMU ends and starts again: what a qcow2 image counts lasts', async () => {
    await guest.rest();
    await guest.quit();
    await guest.start();
    deepEqual((await backUp()).scopes, { vda: 'changes', vdb: 'all' });
  });

  await t.test('while it stands still, what is stored is what qemu-img sees', async () => {
    const monitor = join(root, 'web1.qmp');
    const durable = await guest.durable(1);
    await askMonitor(monitor, 'stop');
    const { point, consistency } = await store.backUp('web1', durable);
    equal(consistency.got, 'crash');
    match(consistency.why ?? '', /guest agent does not answer/);
    for (const { name, path, format } of disks) {
      const file = join(root, `last-${name}.raw`);
      await expectDone(store.holdfast('restore', 'disk', point, name, '--to', file));
      await program('qemu-img', 'compare', '-U', '-f', format, '-F', 'raw', path, file);
    }
    await askMonitor(monitor, 'cont');
  });

  await t.test('each recovery point has all records that were durable before it', async () => {
    await store.checkPoints();
  });
});
