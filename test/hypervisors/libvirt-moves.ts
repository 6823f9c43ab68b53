import { equal, match } from 'node:assert/strict';
import { join } from 'node:path';
import { type Real, tracked } from './libvirt-disks.ts';
import type { Test } from './rig.ts';
import { begin, failureOf, same, take, truth } from './taking.ts';

// More of what happens to disks of a machine of libvirt's: it takes longer, and runs with `npm run test:long`.

export function libvirtMovesConform(test: Test, real: Real): void {
  test('a disk that is being moved is BUSY; once it has moved, the next counts all', async () => {
    await using it = await tracked(real);
    const { machine, driver } = it;
    const { virsh, directory } = real.host;
    await it.write();
    const copy = (name: string) => join(directory, `${machine.id}-${name}.qcow2`);
    await virsh('blockcopy', machine.id, 'vda', copy('one'), '--transient-job');
    const failure = await failureOf(begin(driver, machine, { since: it.point }));
    equal(failure?.code, 'BUSY');
    match(failure?.message ?? '', /copied or merged/);
    await virsh('blockjob', machine.id, 'vda', '--abort');
    equal(await it.next(), undefined);
    const words = ['--transient-job', '--wait', '--pivot'];
    await virsh('blockcopy', machine.id, 'vda', copy('two'), ...words);
    await it.write();
    equal(await it.next(), undefined);
    equal(await it.next(), undefined);
  });

  test('a machine that was saved and started again has lost no change', async () => {
    await using it = await tracked(real);
    await it.write();
    await real.host.virsh('managedsave', it.machine.id);
    await it.next();
    await real.host.virsh('start', it.machine.id);
    await it.write();
    await it.next();
    equal(await it.next(), undefined);
  });

  test('a disk cannot be taken out in the middle of a backup, and the backup is whole', async () => {
    await using it = await tracked(real);
    const { machine, driver } = it;
    const then = await truth(machine, ['vda']);
    let refusal = '';
    const { disks } = await take(driver, machine, {
      since: it.point,
      onBegun: async () => {
        await machine.removeDisk('vda').catch((cause: Error) => (refusal = cause.message));
        await it.write();
      },
    });
    match(refusal, /already in active block job/);
    same(disks, then);
  });
}
