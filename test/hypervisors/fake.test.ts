import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { fakeHypervisor } from '../support/fake-hypervisor/fake-hypervisor.ts';
import { fakeRunHost } from '../support/fake-hypervisor/fake-run-host.ts';
import { noise } from '../support/random.ts';
import { madeMachine, SIZE } from './backups.ts';
import { hypervisorConforms } from './conformance.ts';
import { restoresConform } from './restores.ts';
import { runsConform } from './runs.ts';
import { begin, endless, take } from './taking.ts';

hypervisorConforms(test, async () => fakeHypervisor());
runsConform(test, async () => fakeRunHost());
restoresConform(test, async () => fakeRunHost());

test('a guest that writes over more than the scratch space holds goes on; its backup is NO_SPACE', async () => {
  await using rig = fakeHypervisor();
  const machine = await madeMachine(rig);
  rig.host.scratchCapacity = 16_384;
  await using host = await rig.connect();
  {
    await using snapshot = await begin(host, machine);
    await machine.write('vda', 0, noise(30_000, 1));
    deepEqual((await machine.contents('vda')).subarray(0, 30_000), noise(30_000, 1));
    const [findings] = await host.check(endless());
    deepEqual([findings?.level, findings?.code], ['blocker', 'scratch-space']);
    const device = snapshot.disks[0]!.device;
    await rejects(device.read(new Uint8Array(SIZE), 0), { code: 'NO_SPACE' });
  }
  deepEqual(await host.check(endless()), []);
  await take(host, machine);
});

test('a host that is slow answers each call in its time', async () => {
  const { promise: time, resolve: pass } = Promise.withResolvers<undefined>();
  await using rig = fakeHypervisor();
  await using host = await rig.connect({
    onCall: (name) => (name === 'log in' ? undefined : time),
  });
  let isAnswered = false;
  const asked = host.machines(endless()).then(() => (isAnswered = true));
  await new Promise((resolve) => setImmediate(resolve));
  equal(isAnswered, false);
  pass(undefined);
  await asked;
});
