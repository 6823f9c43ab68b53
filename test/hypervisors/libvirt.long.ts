import { test } from 'tap';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { CANNOT, libvirtTestHost } from '../support/libvirt-test-host.ts';
import { savedMachine } from '../support/saved-machine.ts';
import { hypervisorConforms } from './conformance.ts';

const timeout = 14_400_000;

test('libvirt is as any hypervisor', { skip: libvirtMissing, timeout }, async (t) => {
  await using host = await libvirtHost();
  const saved = await savedMachine(host);
  const tests: Promise<unknown>[] = [];
  hypervisorConforms(
    (name, body) => tests.push(t.test(name, { timeout }, body)),
    async () => libvirtTestHost(host, saved),
    { cannot: CANNOT },
  );
  await Promise.all(tests);
});
