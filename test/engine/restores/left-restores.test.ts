import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { restoreHost } from '../../../src/engine/restores/restore-host.ts';
import { settleRestore } from '../../../src/engine/restores/left-restores.ts';
import type { RestoreRecord } from '../../../src/formats/store/service/restore.ts';
import { fakeRunHost } from '../../support/fake-hypervisor/fake-run-host.ts';

const { signal } = new AbortController();
const SIZE = 4096;

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
  };
  return { rig, old, host, to, reserved, record };
}

test('what is left of a restore is removed, and the old machine has its name again', async () => {
  const { rig, old, host, to, record } = await left();
  for (let times = 0; times < 2; times++) {
    equal(await settleRestore(to, record, signal), undefined);
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
  const made = await settleRestore(to, { ...record, machine: other.id }, signal);
  deepEqual(made, { machine: other.id, disk: 'vdb' });
  equal((await rig.poolDisks()).length, 1);
  const [first] = (await host.machines(signal)).filter(({ id }) => id === old.id);
  ok(first!.name !== 'web1');
  deepEqual(await rig.sessionTraces(), []);
});

test('a machine of that UUID that has none of its disks is of another', async () => {
  const { rig, to, record } = await left();
  const other = await rig.machine({ name: 'web2', disks: { vda: SIZE }, isOff: true });
  const here = { ...record, uuid: other.id, machine: other.id };
  equal(await settleRestore(to, here, signal), undefined);
  deepEqual([await rig.poolDisks(), await rig.sessionTraces()], [[], []]);
});
