import { test } from 'tap';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { libvirtRunHost, makeNetwork } from '../support/libvirt-run-host.ts';
import { savedMachine } from '../support/saved-machine.ts';
import type { Test } from './rig.ts';
import { runInterruptionsConform } from './run-interruptions.ts';

// What happens at calls of a session's machine, on a real libvirtd: at each so many, for an hour.

const STRIDE = 7;

test('libvirt runs machines, whatever happens to a call', { skip: libvirtMissing }, async (t) => {
  await using host = await libvirtHost();
  await makeNetwork(host);
  const saved = await savedMachine(host);
  const tests: Promise<unknown>[] = [];
  const each: Test = (name, body) => tests.push(t.test(name, { timeout: 3_600_000 }, body));
  runInterruptionsConform(each, () => libvirtRunHost(host, saved), { stride: STRIDE });
  await Promise.all(tests);
});
