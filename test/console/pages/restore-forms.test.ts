import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { ShownHypervisor } from '../../../src/operations/nouns/hypervisor.ts';
import type { ResultOf } from '../../../src/operations/operations.ts';
import { type Driven, driveUp, hypervisor, job, pointAt, refusal } from '../../support/console.ts';

const POINT = `${pointAt(1).set}/${pointAt(1).point}`;
const RIGHT = '\u001b[C';
const LEFT = '\u001b[D';

/** With one recovery point chosen. */
function onPoint(): Driven {
  const driven = driveUp();
  driven.type('2');
  driven.answer('backup/page', { points: [pointAt(1)], damaged: [], total: 1, first: 0 });
  return driven;
}

/** In the form to restore it. */
function restoring(...hypervisors: ShownHypervisor[]): Driven {
  const driven = onPoint();
  driven.answer('hypervisor/list', { hypervisors, damaged: [] });
  driven.type('r');
  return driven;
}

function requestsOf(driven: Driven, name: string): unknown[] {
  return driven.asked.filter(({ call }) => call.name === name).map(({ call }) => call.request);
}

const THERE: ResultOf<'hypervisor/machines'> = {
  ...{ hypervisor: 'kvm1', product: 'x', machines: [] },
  places: {
    pools: [
      { pool: 'default', free: 1 },
      { pool: 'fast', free: 2 },
    ],
    networks: ['lan', 'test'],
  },
};

const CHECKED: ResultOf<'restore/machine'> = {
  ...{ point: pointAt(1).point, hypervisor: 'kvm1', findings: [], ready: true, restored: false },
  ...{ pool: 'fast', machine: 'web1', id: 'x', started: false, replaced: null, disks: [] },
};

const CHECKED_DISK: ResultOf<'restore/machine-disk'> = {
  ...{ point: pointAt(1).point, hypervisor: 'kvm1', findings: [], ready: true, restored: false },
  ...{ pool: 'fast', disk: 'vda', size: null, source: null, writtenBytes: 0 },
  ...{ machine: 'db', target: null },
};

const SPACE = {
  level: 'blocker',
  ...{ code: 'target-space', disk: null },
  ...{ message: 'the pool is full', remedy: 'choose another one' },
} as const;

/** What the hypervisor and the record of the point say, for a machine with a card in that network. */
function learn(driven: Driven, network = 'old'): void {
  driven.answer('hypervisor/machines', THERE);
  const nics = [{ mac: '52:54:00:00:00:01', model: 'virtio', network, connected: true }];
  driven.answer('backup/show', { ...pointAt(1), files: [], description: { nics } } as never);
}

test('a machine is restored as a job, after its check has shown that nothing stands in the way', async () => {
  const driven = restoring(hypervisor());
  match(driven.text(), /What +\[ < the machine, to a hypervisor > \]\n.*Hypervisor +\[ kvm1 \]/);
  learn(driven);
  // The name, the pool, the networks.
  driven.type(`\t\tweb1-old\t`);
  match(driven.text(), /Known: default {2}fast/);
  driven.type(`${RIGHT}${RIGHT}\t`);
  match(driven.text(), /Known: old=lan {2}old=test {2}old=none/);
  driven.type(`${LEFT}\t\t${RIGHT}\r`);
  equal(requestsOf(driven, 'job/create').length, 0);
  const request = {
    ...{ point: POINT, to: 'kvm1', name: 'web1-old', pool: 'fast', isolated: false },
    networks: [{ name: 'old', where: 'none' }],
    ...{ replace: 'keep', powerOn: false },
  };
  deepEqual(requestsOf(driven, 'restore/machine'), [{ ...request, dryRun: true }]);
  driven.answer('restore/machine', CHECKED);
  match(
    driven.text(),
    /can be restored to kvm1\n\n Machine +web1\n Pool +fast\n Networks +old=none/,
  );
  match(driven.text(), /Nothing was changed yet.*Enter start it {2}Esc back/s);
  driven.type('\r');
  deepEqual(requestsOf(driven, 'job/create'), [
    { kind: 'restore-machine', request: { ...request, dryRun: false } },
  ]);
  driven.answer('job/create', job({ job: 'restore-1', kind: 'restore-machine' }));
  match(driven.text(), / Job restore-1/);
});

test('the network that is chosen takes the place of the one before it, also with a space in its name', async () => {
  const driven = restoring(hypervisor());
  learn(driven, 'VM Network');
  driven.type('\t\t\t\tx=lan, ');
  driven.type(RIGHT);
  match(driven.text(), /Networks +\[ x=lan, VM Network=lan_ \]/);
  driven.type(RIGHT);
  match(driven.text(), /Networks +\[ x=lan, VM Network=test_ \]/);
});

test('what stands in the way is shown with what to do, and the form is there again', async () => {
  const driven = restoring(hypervisor());
  driven.type('\t\tother\r');
  driven.answer('restore/machine', { ...CHECKED, ready: false, findings: [SPACE] });
  match(driven.text(), /cannot be restored to kvm1/);
  match(driven.text(), /BLOCKER target-space: the pool is full: choose another one/);
  driven.type('\r');
  match(driven.text(), /Name +\[ other_ \]/);
  equal(requestsOf(driven, 'job/create').length, 0);
});

test('a passkey and a passphrase that the check was given go with the job', async () => {
  const driven = restoring(hypervisor());
  driven.type('\r');
  const missing = { kind: 'wrong-key', message: 'a passkey', needsKeyOf: undefined } as const;
  driven.fail('restore/machine', { ...missing, needsPasskeyOf: 'nightly' });
  driven.type('open sesame\r');
  driven.fail('restore/machine', refusal('no passphrase', 'nightly'));
  driven.type('correct horse\r');
  driven.answer('restore/machine', { ...CHECKED, ready: false, findings: [SPACE] });
  // Asked for a secret or not, a check leads back to its form.
  driven.type('\u001b');
  match(driven.text(), /What +\[ < the machine, to a hypervisor > \]/);
  driven.type('\r');
  driven.fail('restore/machine', { ...missing, needsPasskeyOf: 'nightly' });
  driven.type('open sesame\r');
  driven.answer('restore/machine', CHECKED);
  driven.type('\r');
  const { passkey } = driven.asked.find(({ call }) => call.name === 'job/create')!;
  equal(passkey, 'open sesame');
  driven.answer('job/create', job());
  ok(!JSON.stringify(driven.model()).includes('open sesame'));
});

test('a disk goes into a pool, and to a machine that is there', async () => {
  const driven = restoring(hypervisor());
  const machines = [{ machine: 'db', power: 'on' } as never];
  driven.answer('hypervisor/machines', { ...THERE, machines });
  driven.type(`${RIGHT}\t\t\t\t`);
  match(driven.text(), /one disk, to a hypervisor \]\n.*Disk +\[ vda \]\n.*Hypervisor +\[ kvm1 \]/);
  match(driven.text(), /Known: db/);
  driven.type(`${RIGHT}\r`);
  const request = { point: POINT, disk: 'vda', to: 'kvm1', pool: undefined, attachTo: 'db' };
  deepEqual(requestsOf(driven, 'restore/machine-disk'), [{ ...request, dryRun: true }]);
  driven.answer('restore/machine-disk', CHECKED_DISK);
  match(driven.text(), /Disk +vda\n Pool +fast\n Attached +machine db/);
  driven.type('\r');
  deepEqual(requestsOf(driven, 'job/create'), [
    { kind: 'restore-machine-disk', request: { ...request, dryRun: false } },
  ]);
});

test('all disks go to files as a job, which is followed', async () => {
  const driven = restoring(hypervisor());
  driven.type(`${RIGHT}${RIGHT}\t`);
  match(driven.text(), /Directory +\[ _ \].*\n(.*\n)* an existing directory/);
  driven.type('/srv/out\tqcow2\r');
  deepEqual(requestsOf(driven, 'job/create'), [
    {
      kind: 'restore-images',
      request: { point: POINT, to: '/srv/out', format: 'qcow2', overwrite: false },
    },
  ]);
  driven.answer('job/create', job({ job: 'files-1', kind: 'restore-images' }));
  match(driven.text(), / Job files-1/);
});

test('a disk goes to a file, or to a device whose serial number was typed', async () => {
  const driven = restoring(hypervisor());
  driven.type(`${LEFT}\t\t/srv/web1.qcow2`);
  match(driven.text(), /Format/);
  ok(!/Erase/.test(driven.text()));
  driven.type(`${'\u007f'.repeat(20)}/dev/sdb\tWD-1\r`);
  deepEqual(requestsOf(driven, 'job/create'), [
    {
      kind: 'restore',
      request: {
        ...{ point: POINT, disk: 'vda', to: '/dev/sdb', format: undefined, overwrite: false },
        erase: 'WD-1',
      },
    },
  ]);
});

test('from the page of hypervisors a recovery point is chosen among those that are known', async () => {
  const driven = restoring(hypervisor(), hypervisor({ hypervisor: 'kvm2' }));
  driven.type('\u001b');
  driven.type('9\t\t\u001b[Br');
  match(driven.text(), /Restore from a backup\n(.*\n).*Point +\[ +\]\n.*Hypervisor +\[ kvm2 \]/);
  driven.type(`\t${RIGHT}\r`);
  const [asked] = requestsOf(driven, 'restore/machine') as { point: string; to: string }[];
  deepEqual([asked!.point, asked!.to], [POINT, 'kvm2']);
});

test('the machine and the hypervisor of a form are asked for only while their names are whole', async () => {
  const driven = onPoint();
  driven.type('r\tkvm');
  driven.tick();
  deepEqual(requestsOf(driven, 'hypervisor/machines'), []);
});

test('conditions that do not fit below the fields are read as a whole, before the form again', async () => {
  const driven = restoring(hypervisor());
  driven.type('\r');
  const words = Array.from({ length: 60 }, (_, at) => `condition ${at}`).join('; ');
  driven.fail('restore/machine', refusal(words));
  match(driven.text(), /Failed: check restore.*condition 59/s);
  driven.type('\r');
  match(driven.text(), /What +\[ < the machine, to a hypervisor > \]/);
});

const SPARE = 'qemu+ssh://root@10.0.0.7/system';
const PRINT = `SHA256:${'x'.repeat(43)}`;

test('another host is added once its key was compared, and then the restore to it is checked', async () => {
  const driven = restoring(hypervisor());
  driven.type(`\t${RIGHT}`);
  match(driven.text(), /Hypervisor +\[ < another host\.\.\. > \]\n +Address .*\n +Known as/);
  driven.type('\r');
  match(driven.text(), /Address is missing\./);
  driven.type(`\t${SPARE}`);
  match(driven.text(), /Fingerprint/);
  driven.type('\r');
  deepEqual(requestsOf(driven, 'hypervisor/identify'), [{ uri: SPARE }]);
  const keys = [{ type: 'ssh-ed25519', fingerprint: PRINT }];
  driven.answer('hypervisor/identify', { uri: SPARE, kind: 'libvirt', keys });
  match(driven.text(), /Is this 10\.0\.0\.7\?/);
  driven.type('yes\r');
  const [added] = requestsOf(driven, 'hypervisor/add') as Record<string, unknown>[];
  deepEqual([added!['hypervisor'], added!['hostKey']], ['10.0.0.7', PRINT]);
  const made = hypervisor({ hypervisor: '10.0.0.7', uri: SPARE });
  driven.answer('hypervisor/add', { ...made, authorizedKey: 'line', steps: ['echo line'] });
  match(driven.text(), /echo line\n\n Then press Enter: check restore of \S+ to 10\.0\.0\.7\./);
  deepEqual(requestsOf(driven, 'restore/machine'), []);
  driven.type('\r');
  const [asked] = requestsOf(driven, 'restore/machine') as Record<string, unknown>[];
  deepEqual([asked!['to'], asked!['dryRun']], ['10.0.0.7', true]);
  driven.answer('restore/machine', { ...CHECKED, ready: false, findings: [SPACE] });
  // It is a hypervisor now: what stands in the way is corrected in the form for it.
  driven.type('\u001b');
  match(driven.text(), /Hypervisor +\[ 10\.0\.0\.7 \]\n +Name/);
  driven.type('\r');
  driven.answer('restore/machine', CHECKED);
  driven.type('\r');
  const [job] = requestsOf(driven, 'job/create') as { request: Record<string, unknown> }[];
  equal(job!.request['to'], '10.0.0.7');
});

test('another host through TLS is added with its files, and a disk goes there', async () => {
  const driven = restoring(hypervisor());
  // What was entered stays where something else is restored.
  driven.type(`\t${RIGHT}\tqemu+tls://kvm9/system\tspare`);
  driven.type(`${'\u001b[A'.repeat(3)}${RIGHT}`);
  match(
    driven.text(),
    /another host.*\n +Address +\[ qemu\+tls:\/\/kvm9\/system \]\n +Known as +\[ spare/,
  );
  driven.type('\r');
  match(driven.text(), /our certificate and its key are needed/);
  // Past the disk, the hypervisor, its address and its name.
  driven.type('\t\t\t\t\t/ca.pem\t/own.pem\t/own-key.pem\r');
  const [added] = requestsOf(driven, 'hypervisor/add') as Record<string, unknown>[];
  deepEqual(
    [added!['hypervisor'], added!['ca'], added!['clientCertificate'], added!['clientKey']],
    ['spare', '/ca.pem', '/own.pem', '/own-key.pem'],
  );
  const made = hypervisor({ hypervisor: 'spare', uri: 'qemu+tls://kvm9/system' });
  driven.answer('hypervisor/add', { ...made, authorizedKey: null, steps: [] });
  const [asked] = requestsOf(driven, 'restore/machine-disk') as Record<string, unknown>[];
  deepEqual([asked!['to'], asked!['disk']], ['spare', 'vda']);
});

test('a host whose fingerprint was typed is not asked for it, and files go to no hypervisor', async () => {
  const driven = restoring();
  match(driven.text(), /Hypervisor +\[ another host\.\.\. \]/);
  driven.type(`\t\t${SPARE}\t\t${PRINT}\r`);
  deepEqual(requestsOf(driven, 'hypervisor/identify'), []);
  const [added] = requestsOf(driven, 'hypervisor/add') as Record<string, unknown>[];
  equal(added!['hostKey'], PRINT);
  const other = restoring();
  other.type(`${RIGHT}${RIGHT}`);
  match(other.text(), /all disks, to files > \]\n +Directory +\[ +\]/);
  ok(!/Address|another host/.test(other.text()));
});
