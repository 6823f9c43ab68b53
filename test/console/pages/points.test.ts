import { deepEqual, doesNotMatch, match } from 'node:assert/strict';
import { test } from 'tap';
import type { RequestOf } from '../../../src/operations/operations.ts';
import { driveUp, hypervisor, pointAt } from '../../support/console.ts';

test('a machine runs on the only hypervisor after three keys, and takes the place of none', async () => {
  const driven = driveUp();
  driven.type('2');
  driven.answer('backup/page', { points: [pointAt(1)], damaged: [], total: 1, first: 0 });
  driven.answer('hypervisor/list', { hypervisors: [hypervisor()], damaged: [] });
  driven.type('h');
  match(driven.text(), /Run .* on a hypervisor/);
  driven.type('\r');
  const { call } = driven.asked.find((it) => it.call.name === 'session/run')!;
  const asked = call.request as RequestOf<'session/run'>;
  const { points, on, powerOn, replace, migrate } = asked;
  deepEqual([on, powerOn, replace, migrate], ['kvm1', true, undefined, 'later']);
  deepEqual(points, [`${pointAt(1).set}/${pointAt(1).point}`]);
});

test('several machines run in order: a point, others, and all of its backup', async () => {
  const driven = driveUp();
  driven.type('2');
  const point = { ...pointAt(1), run: 'run-1' };
  driven.answer('backup/page', { points: [point], damaged: [], total: 1, first: 0 });
  driven.answer('hypervisor/list', { hypervisors: [hypervisor()], damaged: [] });
  driven.type('h\t\t');
  match(driven.text(), /Machines +\[ < this one > \]/);
  doesNotMatch(driven.text(), /Heartbeat/);
  driven.type(' \tweb7@latest, db@latest\t');
  match(driven.text(), /Delay .*\n +Heartbeat /);
  doesNotMatch(driven.text(), /Name/);
  driven.type('60\r');
  const { call } = driven.asked.find((it) => it.call.name === 'session/run')!;
  const { points, run, delay } = call.request as RequestOf<'session/run'>;
  deepEqual(points, [`${point.set}/${point.point}`, 'web7@latest', 'db@latest']);
  deepEqual([run, delay], ['run-1', 60]);
});

test('after a run, the session is shown as it proceeds', async () => {
  const driven = driveUp();
  driven.type('2');
  driven.answer('backup/page', { points: [pointAt(1)], damaged: [], total: 1, first: 0 });
  driven.answer('hypervisor/list', { hypervisors: [hypervisor()], damaged: [] });
  driven.type('h\r');
  const session = { session: 'web-1a2b3c', point: 'p', hypervisor: 'kvm1', machine: 'web' };
  const sessions = [{ ...session, state: 'placing', waits: null }];
  driven.answer('session/run', { run: null, sessions, findings: [] });
  match(driven.text(), / Session web-1a2b3c/);
});

test('the list shows what keeps a point, before the sizes of its disks', async () => {
  const driven = driveUp();
  driven.type('2');
  const marks = {
    ...{ note: 'old', tags: ['gold'], protected: true, unreadable: undefined },
    ...{ holds: [], lockedUntil: '2027-01-31T00:00:00.000Z' },
  };
  const points = [{ ...pointAt(1), marks }];
  driven.answer('backup/page', { points, damaged: [], total: 1, first: 0 });
  match(driven.text(), /not tried +prot/);
});
