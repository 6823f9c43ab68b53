import { test } from 'tap';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { libvirtRunHost, makeNetwork } from '../support/libvirt-run-host.ts';
import { savedMachine } from '../support/saved-machine.ts';
import type { Test } from './rig.ts';
import { restoreInterruptionsConform } from './restores.ts';
import { runInterruptionsConform } from './run-interruptions.ts';
import { runsThereConform } from './runs-there.ts';

// What happens at calls for a session's machine or a restored one, on a real libvirtd: at each so many, for an hour.

const STRIDE = 7;

test('libvirt runs machines, whatever happens to a call', { skip: libvirtMissing }, async (t) => {
  await using host = await libvirtHost();
  await makeNetwork(host);
  const saved = await savedMachine(host);
  const tests: Promise<unknown>[] = [];
  const each: Test = (name, body) => tests.push(t.test(name, { timeout: 3_600_000 }, body));
  const open = () => libvirtRunHost(host, saved);
  runsThereConform(each, open);
  runInterruptionsConform(each, open, { stride: STRIDE });
  restoreInterruptionsConform(each, open, { stride: STRIDE });
  await Promise.all(tests);
});
