import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { restoreHost } from '../../../src/engine/restores/restore-host.ts';
import { settleRestore } from '../../../src/engine/restores/left-restores.ts';
import type { RestoreRecord } from '../../../src/formats/store/service/restore.ts';
import type { RestoreDriver } from '../../../src/hypervisors/base/restore-driver.ts';
import { fakeRunHost } from '../../support/fake-hypervisor/fake-run-host.ts';

const { signal } = new AbortController();
const SIZE = 4096;
const REMOVED = { made: undefined, isRemoved: true };

/** A restore that has reserved a disk, and set a machine aside whose place it was to take. */
async function left() {
  const rig = fakeRunHost();
  const old = await rig.machine({ name: 'web1', disks: { vda: SIZE }, isOff: true });
  const host = await rig.connect();
  const to = restoreHost('kvm1', host);
  const disks = [{ name: 'vda', size: SIZE, data: SIZE }];
  const reserved = await to.restore.reserve({ session: 's1', pool: 'fast', disks }, signal);
  await to.run.setAside(old.id, 's1', signal);
  const record: RestoreRecord = {
    ...{ id: 's1', hypervisor: 'kvm1', asked: '', started: '' },
    ...{ uuid: 'new', aside: old.id, machine: 'new', disks: reserved.map(({ source }) => source) },
    isWhole: undefined,
  };
  return { rig, old, host, to, reserved, record };
}

test('what is left of a restore is removed, and the old machine has its name again', async () => {
  const { rig, old, host, to, record } = await left();
  for (let times = 0; times < 2; times++) {
    deepEqual(await settleRestore(to, record, signal), REMOVED);
    deepEqual(
      (await host.machines(signal)).map(({ id, name }) => [id, name]),
      [[old.id, 'web1']],
    );
    deepEqual([await rig.poolDisks(), await rig.sessionTraces()], [[], []]);
  }
});

test('a machine that has one of its disks is what it has made, and stays', async () => {
  const { rig, old, host, to, record, reserved } = await left();
  const other = await rig.machine({ name: 'web2', disks: { vda: SIZE }, isOff: true });
  await to.restore.attach(other.id, { ...reserved[0]!, sectorBytes: 512 }, signal);
  const settled = await settleRestore(to, { ...record, machine: other.id }, signal);
  deepEqual(settled, { made: { machine: other.id, disk: 'vdb' }, isRemoved: false });
  equal((await rig.poolDisks()).length, 1);
  const [first] = (await host.machines(signal)).filter(({ id }) => id === old.id);
  ok(first!.name !== 'web1');
  deepEqual(await rig.sessionTraces(), []);
});

test('a machine of that UUID that has none of its disks is of another', async () => {
  const { rig, to, record } = await left();
  const other = await rig.machine({ name: 'web2', disks: { vda: SIZE }, isOff: true });
  const here = { ...record, uuid: other.id, machine: other.id };
  deepEqual(await settleRestore(to, here, signal), REMOVED);
  deepEqual([await rig.poolDisks(), await rig.sessionTraces()], [[], []]);
});

test('of a machine that was whole nothing is removed, whatever lies over its disks', async () => {
  const { rig, to, record } = await left();
  const whole = { ...record, isWhole: true };
  const other = await rig.machine({ name: 'web2', disks: { vda: SIZE }, isOff: true });
  const its = { ...whole, uuid: other.id, machine: other.id };
  const made = { machine: other.id, disk: undefined };
  deepEqual(await settleRestore(to, its, signal), { made, isRemoved: false });
  // A disk that was detached from its machine is no longer there.
  const attached = { ...whole, machine: other.id };
  const neither = { made: undefined, isRemoved: false };
  deepEqual(await settleRestore(to, attached, signal), neither);
  // Someone has removed the machine, and may have kept its disk.
  deepEqual(await settleRestore(to, whole, signal), neither);
  equal((await rig.poolDisks()).length, 1);
});

test('what the machine that was set aside was called is no matter once that is gone', async () => {
  const { rig, old, to, record } = await left();
  await (await rig.made(old.id)).undefine();
  await settleRestore(to, { ...record, isWhole: true }, signal);
  deepEqual(await settleRestore(to, record, signal), REMOVED);
});

test('files under the UUID of a machine are removed only if they can be ours', async () => {
  const { to, record } = await left();
  const marks: unknown[] = [];
  const restore: RestoreDriver = {
    ...to.restore,
    withdraw: async (mark) => void marks.push(mark),
  };
  const spied = { ...to, restore };
  await settleRestore(spied, record, signal);
  await settleRestore(spied, { ...record, machine: undefined, disks: undefined }, signal);
  deepEqual(marks, [
    { session: 's1', uuid: 'new' },
    { session: 's1', uuid: undefined },
  ]);
});
