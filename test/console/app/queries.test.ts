import { deepEqual } from 'node:assert/strict';
import { test } from 'tap';
import { changedBy, toldBy } from '../../../src/console/app/queries.ts';
import type { Next } from '../../../src/console/state/model.ts';
import { driveUp } from '../../support/console.ts';

const idle = { ...driveUp().model(), looks: [] };

function namesOf([, effects]: Next): string[] {
  return effects.flatMap((it) => (it.kind === 'ask' ? [it.call.name] : [])).toSorted();
}

test('what is done from here is followed by the questions whose answers it changes', async () => {
  for (const [operation, asked] of [
    ['network/confirm', ['network/show']],
    ['host/set', ['host/show', 'network/show', 'ssh/show']],
    ['ssh-key/add', ['ssh/show']],
    ['lockdown/on', ['lockdown/show']],
    ['pool/create', ['disk/list', 'service/show']],
    ['store/create', ['service/show', 'set/list']],
    ['schedule/remove', ['job/list', 'schedule/list', 'service/show']],
    ['files/close', ['files/opened', 'service/show']],
  ] as const) {
    deepEqual(namesOf(changedBy(idle, operation)), asked, operation);
  }
});

test('what the service reports is followed by the questions whose answers it changes', async () => {
  deepEqual(namesOf(toldBy(idle, 'alarm')), ['alarm/list', 'service/show']);
  deepEqual(namesOf(toldBy(idle, 'session')), ['service/show', 'session/list']);
  const jobs = ['backup/page', 'job/list', 'job/list', 'service/show'];
  deepEqual(namesOf(toldBy(idle, 'job')), jobs);
});
