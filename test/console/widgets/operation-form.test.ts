import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { FormDialog, FormValues } from '../../../src/console/state/dialog.ts';
import { operationForm } from '../../../src/console/widgets/operation-form.ts';

/** What is shown of the fields, as the values stand. */
function shown({ form, values }: FormDialog, typed: FormValues = {}): string[] {
  const now = { ...values, ...typed };
  return form.fields.filter(({ matters }) => matters?.(now) ?? true).map(({ label }) => label);
}

/** The request as it is sent, or what is wrong. */
function asked({ form, values }: FormDialog, typed: FormValues = {}): unknown {
  const submitted = form.submit({ ...values, ...typed });
  if (typeof submitted === 'string') return submitted;
  ok('call' in submitted);
  return JSON.parse(JSON.stringify(submitted.call.request));
}

const run = operationForm('session/start', {
  title: 'Run a point',
  does: 'run it',
  asks: ['tls.kind', 'tls.directory', 'tls.path', 'nfs', 'nfs.allow', 'nfs.squash', 'whenFull'],
  given: { point: 'set/web-1' },
  task: ({ point }) => `run ${point}`,
});

test('a form has the words, the choices and the defaults of its operation', async () => {
  const [tls, directory, , nfs, , squash, full] = run.form.fields;
  deepEqual(tls?.choices, ['no', 'x509', 'psk']);
  match(directory!.note, /server-cert\.pem/);
  deepEqual([nfs?.label, nfs?.choices], ['NFS datastore', ['no', 'yes']]);
  // What holds if nothing is chosen comes first.
  deepEqual(squash?.choices, ['root', 'none', 'all']);
  deepEqual([full?.label, full?.choices], ['When full', ['pause', 'refuse']]);
});

test('fields of a variant, or of an object that may be left out, are asked where they matter', async () => {
  deepEqual(shown(run), ['NBD with TLS', 'NFS datastore', 'When full']);
  const both = { 'tls.kind': 'psk', nfs: 'yes' };
  equal(shown(run, both).length, 6);
  const { tls, nfs, point } = asked(run, {
    ...{ ...both, 'tls.path': ' /keys ', 'nfs.allow': '10.0.0.0/24, ::1', whenFull: 'refuse' },
  }) as Record<string, Record<string, unknown>>;
  deepEqual([tls, point], [{ kind: 'psk', path: '/keys' }, 'set/web-1']);
  deepEqual([nfs!['allow'], nfs!['squash']], [['10.0.0.0/24', '::1'], 'root']);
  const plain = asked(run, { 'tls.path': '/keys', 'nfs.allow': 'x' }) as object;
  ok(!('tls' in plain) && !('nfs' in plain), 'what is not shown is not asked');
});

test('what is wrong is said of the field by its label', async () => {
  equal(asked(run, { 'tls.kind': 'x509' }), 'TLS files is missing.');
  const job = operationForm('job/create', {
    title: 'A job',
    does: 'start it',
    asks: ['kind', 'request.set', 'request.machine', 'request.disks', 'request.retention.last'],
    task: ({ kind }) => kind,
  });
  const backup = { 'request.set': 's', 'request.machine': 'm', 'request.disks': 'vda=/a, vdb=/b' };
  const disks = [
    { name: 'vda', where: '/a' },
    { name: 'vdb', where: '/b' },
  ];
  deepEqual(asked(job, backup), { kind: 'backup', request: { set: 's', machine: 'm', disks } });
  match(String(asked(job, { ...backup, 'request.disks': 'vdb' })), /^Disks: "vdb" is not NAME=/);
  const many = { ...backup, 'request.retention.last': 'many' };
  match(String(asked(job, many)), /^Keep last: a whole number, not a text/);
});

test('of settings only what was changed is asked for, and an empty field is a change', async () => {
  const settings = operationForm('host/set', {
    title: 'Settings',
    does: 'set it',
    asks: ['hostname', 'ntp'],
    values: { hostname: 'box', ntp: 'a.example b.example' },
    onlyChanged: true,
    task: () => 'settings',
  });
  deepEqual(asked(settings), {});
  deepEqual(asked(settings, { ntp: '' }), { ntp: [] });
  match(String(asked(settings, { hostname: '' })), /^Name: a text of 1 to/);
});

test('a field that an operation does not have is a mistake, and found when the form is made', async () => {
  const form = { title: '', does: '', task: () => '', asks: ['reasons'] };
  let message = '';
  try {
    operationForm('host/reboot', form);
  } catch (cause) {
    message = String(cause);
  }
  match(message, /host\/reboot has no field "reasons"/);
});
