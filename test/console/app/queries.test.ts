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
    ['network/confirm', ['network/show', 'service/show']],
    ['host/set', ['host/show', 'network/show', 'service/show', 'ssh/show']],
    ['ssh-key/add', ['ssh/show']],
    ['lockdown/on', ['lockdown/show', 'service/show']],
    ['pool/create', ['disk/list', 'service/show', 'store/usage']],
    ['backup/forget', ['backup/page', 'backup/page', 'store/usage']],
    ['schedule/run', ['job/list', 'job/list', 'schedule/list', 'service/show']],
    ['session/stop', ['export/list', 'service/show', 'session/list']],
    ['files/close', ['files/opened']],
    ['files/copy', []],
  ] as const) {
    deepEqual(namesOf(changedBy(idle, operation)), asked, operation);
  }
});

test('what the service reports is followed by the questions whose answers it changes', async () => {
  const alarm = { alarm: 'a', message: 'm', what: 'raised', level: 'warning' } as const;
  deepEqual(namesOf(toldBy(idle, { event: 'alarm', ...alarm })), ['alarm/list', 'service/show']);
  const session = { session: 's', what: 'started', message: null } as const;
  const ofSessions = ['export/list', 'service/show', 'session/list'];
  deepEqual(namesOf(toldBy(idle, { event: 'session', ...session })), ofSessions);
  const job = { job: 'j', state: 'done', reason: null } as const;
  const ofJobs = ['job/list', 'job/list', 'schedule/list', 'service/show'];
  deepEqual(namesOf(toldBy(idle, { event: 'job', ...job })), ofJobs);
  const elsewhere = { event: 'changed', operation: 'set/create', nouns: ['set'] } as const;
  deepEqual(namesOf(toldBy(idle, elsewhere)), ['set/list']);
});
