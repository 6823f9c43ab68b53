import { test } from 'tap';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { CANNOT, libvirtTestHost } from '../support/libvirt-test-host.ts';
import { savedMachine } from '../support/saved-machine.ts';
import { hypervisorConforms } from './conformance.ts';
import { libvirtMovesConform } from './libvirt-moves.ts';
import type { Test } from './rig.ts';

const timeout = 14_400_000;

test('libvirt is as any hypervisor', { skip: libvirtMissing, timeout }, async (t) => {
  await using host = await libvirtHost();
  const saved = await savedMachine(host);
  const tests: Promise<unknown>[] = [];
  const each: Test = (name, body) => tests.push(t.test(name, { timeout }, body));
  libvirtMovesConform(each, { host, saved });
  hypervisorConforms(each, async () => libvirtTestHost(host, saved), { cannot: CANNOT });
  await Promise.all(tests);
});
