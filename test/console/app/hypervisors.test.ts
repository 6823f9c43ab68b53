import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
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
    ...{ machine: name, id: name, power: 'on', last: null, proof: null },
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
  driven.answer('hypervisor/machines', {
    hypervisor: 'kvm1',
    product: 'x',
    places: null,
    machines,
  });
  match(driven.text(), /^ db +on +2026-11-21 18:00 +file-system +nightly$/m);
  match(driven.text(), /^ web0 +on +no backup$/m);
  match(driven.text(), /\.\.\. and 4 more: Enter/);
  driven.type('\r');
  match(driven.text(), / MACHINE \(kvm1\) +POWER/);
  match(driven.text(), /^ {4}web8 +on +no backup$/m);
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
    ...{ product: 'x', places: null },
    machines: [machine('db')],
  });
  doesNotMatch(driven.text(), /^ db /m);
  match(driven.text(), /Machines of kvm2 .*\n asking/);
  const { call } = driven.asked.find((it) => it.call.name === 'hypervisor/machines')!;
  deepEqual(call.request, { hypervisor: 'kvm2', machine: undefined, check: false });
  // On another page no hypervisor is connected to.
  driven.answer('hypervisor/machines', {
    hypervisor: 'kvm2',
    product: 'x',
    places: null,
    machines: [],
  });
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

test('a new hypervisor is added with the host key that was compared', async () => {
  const driven = looking();
  match(driven.text(), /No hypervisors: n adds one/);
  const uri = 'qemu+ssh://holdfast@kvm1/system';
  driven.type(`nkvm1\t${uri}\t\t/scratch\r`);
  driven.fail('hypervisor/identify', { kind: 'refused', message: 'kvm1 is away' } as never);
  match(driven.text(), /A new hypervisor\n(.*\n)* kvm1 is away/);
  driven.type('\r');
  const keys = [{ type: 'ssh-ed25519', fingerprint: 'SHA256:x' }];
  driven.answer('hypervisor/identify', { uri, kind: 'libvirt', keys });
  match(driven.text(), /Is this kvm1\?\n(.*\n)* SHA256:x \(ssh-ed25519\)\n/);
  match(driven.text(), /ssh-keygen -lf \/etc\/ssh\/ssh_host_ed25519_key\.pub/);
  // Enter alone adds nothing.
  driven.type('\r');
  const added = () => driven.asked.find((it) => it.call.name === 'hypervisor/add');
  equal(added(), undefined);
  driven.type('yes\r');
  deepEqual(added()!.call.request, {
    ...{ hypervisor: 'kvm1', uri, hostKey: 'SHA256:x' },
    ...{ sockets: undefined, scratch: '/scratch' },
    ...{ ca: undefined, clientCertificate: undefined, clientKey: undefined },
  });
  driven.answer('hypervisor/add', { ...hypervisor(), authorizedKey: 'line', steps: ['useradd x'] });
  match(
    driven.text(),
    /Hypervisor kvm1 is added\n\n On the hypervisor, as root, once:\n\n useradd x/,
  );
});

test('a new hypervisor through TLS is known by the certificate that was compared, or by an authority', async () => {
  const driven = looking();
  const uri = 'qemu+tls://kvm2/system';
  driven.type(`nkvm2\t${uri}\t\t\t\t/own.pem\t/own-key.pem\r`);
  const fingerprint = Array.from({ length: 32 }, () => '3F').join(':');
  const keys = [{ type: 'certificate', fingerprint }];
  driven.answer('hypervisor/identify', { uri, kind: 'libvirt', keys });
  match(driven.text(), /Is this kvm2\?\n(.*\n)* 3F:3F:/);
  match(driven.text(), /openssl x509 -noout -fingerprint -sha256/);
  const added = () => driven.asked.find((it) => it.call.name === 'hypervisor/add');
  equal(added(), undefined);
  driven.type('yes\r');
  deepEqual(added()!.call.request, {
    ...{ hypervisor: 'kvm2', uri, hostKey: fingerprint },
    ...{ sockets: undefined, scratch: undefined, ca: undefined },
    ...{ clientCertificate: '/own.pem', clientKey: '/own-key.pem' },
  });
  const other = looking();
  other.type(`nkvm2\t${uri}\t\t\t/ca.pem\t/own.pem\t/own-key.pem\r`);
  deepEqual(
    other.asked.map(({ call }) => call.name).filter((it) => /identify|add/.test(it)),
    ['hypervisor/add'],
  );
});

test('a certificate whose fingerprint was typed is pinned by that, and an address decides what is asked', async () => {
  const driven = looking();
  driven.type('nkvm2\tqemu+ssh://kvm2/system');
  match(driven.text(), /Fingerprint/);
  doesNotMatch(driven.text(), /Own TLS/);
  driven.type(`${'\u007f'.repeat(30)}qemu+tls://kvm2/system`);
  match(driven.text(), /TLS authority .*\n +Own TLS cert .*\n +Own TLS key .*\n +Fingerprint/);
  const fingerprint = Array.from({ length: 32 }, () => '3F').join(':');
  driven.type(`\t\t\t\t/own.pem\t\t${fingerprint}\r`);
  match(driven.text(), /our certificate and its key are needed/);
  driven.type('\u001b[A/own-key.pem\r');
  const named = driven.asked.filter(({ call }) => /identify|add/.test(call.name));
  deepEqual(
    named.map(({ call }) => call.name),
    ['hypervisor/add'],
  );
  deepEqual(named[0]!.call.request, {
    ...{ hypervisor: 'kvm2', uri: 'qemu+tls://kvm2/system', hostKey: fingerprint },
    ...{ sockets: undefined, scratch: undefined, ca: undefined },
    ...{ clientCertificate: '/own.pem', clientKey: '/own-key.pem' },
  });
});

test('a hypervisor of this host is added without a host key', async () => {
  const driven = looking();
  driven.type('nlocal\tqemu:///system\r');
  const { call } = driven.asked.find((it) => it.call.name === 'hypervisor/add')!;
  deepEqual(call.request, {
    ...{ hypervisor: 'local', uri: 'qemu:///system' },
    ...{ hostKey: undefined, sockets: undefined, scratch: undefined },
    ...{ ca: undefined, clientCertificate: undefined, clientKey: undefined },
  });
});

const NIGHTLY = {
  set: 'nightly',
  created: TIME,
  encrypted: true,
  passkey: false,
  lockDays: 0,
  problem: null,
  retention: null,
  retentionProblem: null,
};
const ARCHIVE = { ...NIGHTLY, set: 'archive' };

/** On the page of kvm1's machines. */
function onMachines(...machines: ShownMachine[]) {
  const driven = looking(hypervisor());
  driven.answer('set/list', { sets: [NIGHTLY, ARCHIVE], damaged: [] });
  driven.answer('hypervisor/machines', {
    hypervisor: 'kvm1',
    product: 'x',
    places: null,
    machines,
  });
  driven.type('\r');
  return driven;
}

test('all machines of a hypervisor are backed up by a job or a schedule', async () => {
  const driven = looking(hypervisor());
  driven.answer('set/list', { sets: [NIGHTLY], damaged: [] });
  driven.type('b');
  match(driven.text(), /Back up kvm1\/\*\n.*\[ < nightly > \]/);
  driven.type('\u001b');
  driven.type('s');
  match(driven.text(), /A schedule for kvm1\/\*/);
  driven.type('night\r');
  const { call } = driven.asked.find((it) => it.call.name === 'schedule/create')!;
  const { job, schedule } = call.request as unknown as Record<string, { request: object }>;
  equal(schedule, 'night');
  deepEqual(
    { ...job!.request, retention: undefined },
    {
      ...{ set: 'nightly', from: ['kvm1/*'], consistency: 'file-system', strict: false },
      ...{ machine: undefined, only: undefined, exclude: undefined, window: undefined },
      ...{ retention: undefined, thenVerify: false },
    },
  );
});

test('marked machines are backed up to the chosen set, as is wished', async () => {
  const driven = onMachines(machine('db'), machine('my web'), machine('other'));
  driven.type(' \u001b[B ');
  match(driven.text(), / 2 MARKED \(kvm1\) .*\n \* +db .*\n>\* +my web .*\n {4}other/);
  driven.type('b');
  match(driven.text(), /Back up kvm1\/db, kvm1\/my web\n/);
  const right = '\u001b[C';
  // The set, disks to leave out, consistency, strict, window.
  driven.type(`${right}\tvdb vdc\t${right}\t${right}\t${right}\r`);
  const { call } = driven.asked.find((it) => it.call.name === 'job/create')!;
  const { kind, request } = call.request as { kind: string; request: Record<string, unknown> };
  equal(kind, 'backup-machine');
  deepEqual(request['from'], ['kvm1/db', 'kvm1/my web']);
  deepEqual(
    [request['set'], request['exclude'], request['consistency']],
    ['archive', ['vdb', 'vdc'], 'application'],
  );
  deepEqual([request['strict'], request['window']], [true, 7200]);
});

/** What the hypervisor says of one machine. */
function examined(name: string, ...disks: NonNullable<ShownMachine['disks']>) {
  return { hypervisor: 'kvm1', product: 'x', places: null, machines: [machine(name, { disks })] };
}

test('the disks of a single machine are chosen one by one', async () => {
  for (const [pressed, name] of [
    ['b', 'job/create'],
    ['s', 'schedule/create'],
  ] as const) {
    const driven = onMachines(machine('db'), machine('web'));
    driven.type(`\u001b[B${pressed}`);
    const { call } = driven.asked.findLast((it) => it.call.name === 'hypervisor/machines')!;
    deepEqual(call.request, { hypervisor: 'kvm1', machine: 'web', check: true });
    const disks = [
      { disk: 'vda', size: 2 ** 30, excluded: null },
      { disk: 'vdb', size: 2 ** 30, excluded: null },
      { disk: 'sda', size: null, excluded: 'sda is an optical drive' },
    ];
    driven.answer('hypervisor/machines', examined('web', ...disks));
    match(driven.text(), /Disk vda +\[ yes \]\n.*Disk vdb +\[ yes \]\n.*Disk sda +\[ no \]/);
    // Past the name and the time of a schedule, the set and the name of the machine.
    const before = pressed === 's' ? 'night\t\t' : '';
    driven.type(`${before}\t\t\t \t`);
    match(driven.text(), /sda is an optical drive/);
    driven.type('\r');
    const made = driven.asked.find((it) => it.call.name === name)!.call.request as object;
    const { request } = ('job' in made ? made.job : made) as { request: Record<string, unknown> };
    deepEqual([request['from'], request['exclude']], [['kvm1/web'], ['vdb']]);
  }
});

test('disks are typed where the hypervisor does not name them', async () => {
  const driven = onMachines(machine('web'));
  driven.type('b');
  driven.fail('hypervisor/machines', { kind: 'refused', message: 'kvm1 is away' } as never);
  match(driven.text(), /Back up kvm1\/web\n(.*\n)*.*Without disks(.*\n)* kvm1 is away/);
});

test('a machine that is not marked is backed up when it is chosen, and tested', async () => {
  const driven = onMachines(machine('db'), machine('web'));
  driven.type('\u001b[Bb');
  driven.answer('hypervisor/machines', examined('web'));
  match(driven.text(), /Back up kvm1\/web\n/);
  driven.type('\u001bt');
  const { call } = driven.asked.find((it) => it.call.name === 'hypervisor/test')!;
  deepEqual(call.request, { hypervisor: 'kvm1', machine: 'web' });
  driven.type('u');
  match(driven.text(), /Machines of kvm1/);
});

test('a mark goes with its machine, and stays while the hypervisor is away', async () => {
  const driven = onMachines(machine('db'), machine('web'));
  driven.type(' \u001b[B ');
  driven.tick(61_000);
  driven.fail('hypervisor/machines', { kind: 'refused', message: 'away' } as never);
  match(driven.text(), / away/);
  driven.tick(61_000);
  const machines = [machine('web')];
  driven.answer('hypervisor/machines', {
    hypervisor: 'kvm1',
    product: 'x',
    places: null,
    machines,
  });
  match(driven.text(), /1 MARKED/);
});

test('of 1,000 machines only those on the screen are drawn', async () => {
  let drawn = 0;
  const counted = (at: number): ShownMachine => {
    const it = machine(`m${String(at).padStart(4, '0')}`);
    Object.defineProperty(it, 'power', {
      get() {
        drawn++;
        return 'on';
      },
    });
    return it;
  };
  const driven = onMachines(...Array.from({ length: 1000 }, (_, at) => counted(at)));
  const keys = 50;
  drawn = 0;
  for (let at = 0; at < keys; at++) {
    driven.type('\u001b[6~');
    driven.rows();
  }
  driven.type('\u001b[F');
  match(driven.text(), /^> {3}m0999 /m);
  ok(drawn <= (keys + 1) * 24, `${drawn} rows`);
});
