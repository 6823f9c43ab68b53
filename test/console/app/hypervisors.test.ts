import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { test } from 'tap';
import type { ShownHypervisor, ShownMachine } from '../../../src/operations/nouns/hypervisor.ts';
import { driveUp, hypervisor, TIME } from '../../support/console.ts';

/** On the page Hypervisors, which is after the page of a directory. */
function looking(...hypervisors: ShownHypervisor[]) {
  const driven = driveUp();
  driven.type('9\t\t');
  match(driven.text(), /Hypervisors/);
  driven.answer('hypervisor/list', { hypervisors, damaged: [] });
  return driven;
}

function machine(name: string, of: Partial<ShownMachine> = {}): ShownMachine {
  return {
    ...{ machine: name, id: name, power: 'on', last: null },
    ...{ disks: null, bytes: null, seconds: null, findings: null },
    ...of,
  };
}

test('the machines of the chosen hypervisor are shown, with their last backups', async () => {
  const driven = looking(hypervisor(), hypervisor({ hypervisor: 'kvm2', failure: 'away' }));
  match(driven.text(), /^>kvm1 +answers +2026-11-21 18:00 +qemu\+ssh:\/\/holdfast@kvm1/m);
  match(driven.text(), /^ kvm2 +FAILS /m);
  const last = { set: 'nightly', point: 'p', created: TIME, consistency: 'file-system' };
  const many = Array.from({ length: 9 }, (_, at) => machine(`web${at}`));
  const machines = [machine('db', { last }), ...many];
  driven.answer('hypervisor/machines', { hypervisor: 'kvm1', product: 'x', machines });
  match(driven.text(), /^ db +on +2026-11-21 18:00 +file-system +nightly$/m);
  match(driven.text(), /^ web0 +on +no backup$/m);
  match(driven.text(), /\.\.\. and 4 more: Enter/);
  driven.type('\r');
  match(driven.text(), /web8 +on +no backup/);
});

test('a hypervisor that is away is asked again after a while, and not without end', async () => {
  const driven = looking(hypervisor());
  const asked = () => driven.asked.filter(({ call }) => call.name === 'hypervisor/machines').length;
  equal(asked(), 1);
  driven.fail('hypervisor/machines', { kind: 'refused', message: 'kvm1 does not answer' } as never);
  match(driven.text(), /Machines of kvm1 \(QEMU 7\.2\):\n kvm1 does not answer/);
  for (let second = 0; second < 50; second++) driven.tick();
  equal(asked(), 0);
  driven.tick(20_000);
  equal(asked(), 1);
});

test('machines of another hypervisor than the chosen one are not shown', async () => {
  const driven = looking(hypervisor(), hypervisor({ hypervisor: 'kvm2' }));
  driven.type('\u001b[B');
  driven.answer('hypervisor/machines', {
    hypervisor: 'kvm1',
    product: 'x',
    machines: [machine('db')],
  });
  doesNotMatch(driven.text(), /^ db /m);
  match(driven.text(), /Machines of kvm2 .*\n asking/);
  const { call } = driven.asked.find((it) => it.call.name === 'hypervisor/machines')!;
  deepEqual(call.request, { hypervisor: 'kvm2', check: false });
  // On another page no hypervisor is connected to.
  driven.answer('hypervisor/machines', { hypervisor: 'kvm2', product: 'x', machines: [] });
  driven.type('1');
  driven.tick(120_000);
  equal(
    driven.asked.some((it) => it.call.name === 'hypervisor/machines'),
    false,
  );
});

test('a test shows each condition with what to do about it', async () => {
  const driven = looking(hypervisor());
  driven.type('t');
  const finding = { code: 'rights', disk: null, message: 'no right', remedy: 'adduser' } as const;
  driven.answer('hypervisor/test', {
    ...{ hypervisor: 'kvm1', ready: false },
    findings: [{ ...finding, level: 'blocker' }],
  });
  match(driven.text(), /kvm1 is not ready\n\n BLOCKER rights: no right: adduser/);
});

test('a new hypervisor shows what is to be done there', async () => {
  const driven = looking();
  match(driven.text(), /No hypervisors: n adds one/);
  driven.type('nkvm1\tqemu+ssh://holdfast@kvm1/system\t\r');
  const { call } = driven.asked.find((it) => it.call.name === 'hypervisor/add')!;
  deepEqual(call.request, {
    ...{ hypervisor: 'kvm1', uri: 'qemu+ssh://holdfast@kvm1/system' },
    ...{ hostKey: undefined, sockets: undefined, scratch: undefined },
  });
  const refused = 'kvm1 has the host keys SHA256:x (ssh-ed25519): compare one';
  driven.fail('hypervisor/add', { kind: 'refused', message: refused } as never);
  match(driven.text(), /A new hypervisor\n(.*\n)* kvm1 has the host keys SHA256:x/);
  driven.type('\r');
  driven.answer('hypervisor/add', { ...hypervisor(), authorizedKey: 'line', steps: ['useradd x'] });
  match(
    driven.text(),
    /Hypervisor kvm1 is added\n\n On the hypervisor, as root, once:\n\n useradd x/,
  );
});

test('machines of a hypervisor are backed up by a job or a schedule', async () => {
  const driven = looking(hypervisor());
  driven.type('b');
  match(driven.text(), /From +\[ kvm1\/ \]|Machines +\[ kvm1\/ \]/);
  driven.type('\u001b');
  driven.type('s');
  match(driven.text(), /A new schedule(.*\n)*.*\[ kvm1\/\* \]/);
});
