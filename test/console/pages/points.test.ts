import { deepEqual, match } from 'node:assert/strict';
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
