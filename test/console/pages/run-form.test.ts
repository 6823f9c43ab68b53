import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { test } from 'tap';
import type { ShownHypervisor } from '../../../src/operations/nouns/hypervisor.ts';
import type { OperationName } from '../../../src/operations/operations.ts';
import { driveUp, hypervisor, pointAt, refusal } from '../../support/console.ts';

const SPARE = 'qemu+ssh://root@10.0.0.7/system';
const RIGHT = '\u001b[C';

/** The form that runs a recovery point. */
function asked(...hypervisors: ShownHypervisor[]) {
  const driven = driveUp();
  driven.type('2');
  driven.answer('backup/page', { points: [pointAt(1)], damaged: [], total: 1, first: 0 });
  driven.answer('hypervisor/list', { hypervisors, damaged: [] });
  driven.type('h');
  const requestOf = (name: OperationName): Readonly<Record<string, unknown>> | undefined =>
    driven.asked.find(({ call }) => call.name === name)?.call.request;
  return { ...driven, requestOf };
}

test('another host is added once its key was compared and knows ours, and then the machine runs there', async () => {
  const driven = asked(hypervisor());
  driven.type(RIGHT);
  match(driven.text(), /On +\[ < another host\.\.\. > \]\n +Address/);
  driven.type('\r');
  match(driven.text(), /Address is missing\./);
  driven.type(`\t${SPARE}\r`);
  deepEqual(driven.requestOf('hypervisor/identify'), { uri: SPARE });
  const keys = [{ type: 'ssh-ed25519', fingerprint: 'SHA256:x' }];
  driven.answer('hypervisor/identify', { uri: SPARE, kind: 'libvirt', keys });
  match(driven.text(), /Is this 10\.0\.0\.7\?\n(.*\n)* SHA256:x \(ssh-ed25519\)\n/);
  driven.type('yes\r');
  const added = driven.requestOf('hypervisor/add')!;
  deepEqual([added['hypervisor'], added['uri'], added['hostKey']], ['10.0.0.7', SPARE, 'SHA256:x']);
  const made = hypervisor({ hypervisor: '10.0.0.7', uri: SPARE });
  driven.answer('hypervisor/add', { ...made, authorizedKey: 'line', steps: ['echo line'] });
  match(
    driven.text(),
    /as root, once:\n\n echo line\n\n Then press Enter: run \S+ on 10\.0\.0\.7\./,
  );
  equal(driven.requestOf('session/run'), undefined);
  driven.type('\r');
  equal(driven.requestOf('session/run')!['on'], '10.0.0.7');
  // What stands in the way is corrected in the form: it is a hypervisor now.
  driven.fail('session/run', refusal('it has no network "lan"'));
  match(driven.text(), /On +\[ < 10\.0\.0\.7 > \]\n +Power on(.*\n)*.*it has no network "lan"/);
  driven.type(RIGHT);
  match(driven.text(), /On +\[ < another host\.\.\. > \]/);
  driven.type('\u001b[D\r');
  equal(driven.requestOf('session/run')!['on'], '10.0.0.7');
});

test('this host needs no key: the machine runs there at once', async () => {
  const driven = asked();
  match(driven.text(), /On +\[ < another host\.\.\. > \]/);
  driven.type('\tqemu:///system\tbox\r');
  equal(driven.requestOf('hypervisor/add')!['hypervisor'], 'box');
  const made = hypervisor({ hypervisor: 'box', uri: 'qemu:///system' });
  driven.answer('hypervisor/add', { ...made, authorizedKey: null, steps: [] });
  equal(driven.requestOf('session/run')!['on'], 'box');
  doesNotMatch(driven.text(), /is added/);
});

test('a name that another hypervisor has is refused before its key is compared', async () => {
  const driven = asked(hypervisor());
  driven.type(`${RIGHT}\t${SPARE}\tkvm1\r`);
  match(driven.text(), /Known as: "kvm1" is the hypervisor at /);
  equal(driven.requestOf('hypervisor/identify'), undefined);
});

test('an address that was added is used as it is, and one of TLS is refused', async () => {
  const driven = asked(hypervisor({ uri: SPARE }));
  driven.type(`${RIGHT}\t${SPARE}\r`);
  equal(driven.requestOf('session/run')!['on'], 'kvm1');
  const other = asked();
  other.type('\tqemu+tls://kvm2/system\r');
  match(other.text(), /cannot be run through TLS/);
});
