import type { AlarmSummary } from '../../../src/operations/nouns/alarm.ts';
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { Reported } from '../../../src/console/state/service.ts';
import { driveUp, FACTS, GONE, refusal, session, TIME } from '../../support/console.ts';

const ALARM: AlarmSummary = {
  ...{ alarm: 'pool-space', kind: 'pool-space', level: 'critical', about: null, times: 2 },
  ...{ message: 'the pool is 96 % full', raised: TIME, changed: TIME },
  ...{ acknowledged: null, ended: null },
};
const KNOWN: AlarmSummary = {
  ...{ ...ALARM, alarm: 'clock-jump', message: 'the clock was set' },
  acknowledged: { time: TIME, uid: 1000 },
};

function onAlarms() {
  const driven = driveUp();
  while (driven.model().screen !== 'alarms') driven.type('\t');
  driven.tick(5000);
  driven.answer('alarm/list', { alarms: [ALARM, KNOWN] });
  return driven;
}

test('alarms are shown with who takes care of them', async () => {
  const driven = onAlarms();
  match(driven.text(), />11-21 18:00 +critical +the pool is 96 % full/);
  match(driven.text(), / 11-21 18:00 +critical +yes +the clock was set/);
  driven.type('\r');
  match(driven.text(), /raised +2026-11-21 18:00 UTC, 2 times/);
  driven.type('\u001b\u001b[B\r');
  match(driven.text(), /acknowledged +2026-11-21 18:00 UTC, by user 1000/);
});

test('one is acknowledged by its word, and asked for again; a second time is not needed', async () => {
  const driven = onAlarms();
  const asked = () => driven.asked.filter(({ call }) => call.name === 'alarm/acknowledge');
  driven.type('a\r');
  ok(driven.model().dialog && asked().length === 0);
  driven.type('seen\r');
  deepEqual(
    asked().map(({ call }) => call.request),
    [{ alarm: 'pool-space' }],
  );
  driven.answer('alarm/acknowledge', { ...ALARM, acknowledged: { time: TIME, uid: 0 } });
  ok(driven.asked.some(({ call }) => call.name === 'alarm/list'));
  driven.type('\u001b[Ba');
  match(driven.text(), /It has been acknowledged already/);
});

const standing = (alarm: string, message: string): AlarmSummary => ({
  ...{ alarm, kind: alarm.split(':')[0]!, level: 'warning', about: null, message, times: 1 },
  ...{ raised: TIME, changed: TIME, acknowledged: null, ended: null },
});

test('what the service tells of is shown at once; it is asked for again when it was away', async () => {
  const driven = driveUp();
  const { id } = driven.asked.find(({ call }) => call.name === 'service/follow')!;
  const tell = (event: Reported): void => driven.send({ kind: 'report', id, event });
  const alarm = { event: 'alarm', alarm: 'trouble:x', level: 'warning' } as const;
  tell({ ...alarm, what: 'raised', message: 'a schedule cannot be read' });
  driven.answer('alarm/list', { alarms: [standing('trouble:x', 'a schedule cannot be read')] });
  match(driven.text(), /! a schedule cannot be read/);
  tell({ ...alarm, what: 'ended', message: 'it can be read' });
  driven.answer('alarm/list', { alarms: [] });
  match(driven.text(), /No alarms/);
  tell({ event: 'session', session: 's', what: 'started', message: null });
  ok(driven.asked.some(({ call }) => call.name === 'session/list'));
  driven.fail('service/follow', GONE);
  match(driven.text(), /does not answer/);
  driven.answer('service/show', FACTS);
  ok(driven.asked.some(({ call }) => call.name === 'service/follow'));
  driven.fail('service/follow', refusal('there is no such operation'));
  for (let n = 0; n < 5; n++) driven.tick();
  ok(!driven.asked.some(({ call }) => call.name === 'service/follow'));
});

test('what is wrong stands once, however many ways it is heard of', async () => {
  const driven = driveUp();
  const { id } = driven.asked.find(({ call }) => call.name === 'service/follow')!;
  const tell = (event: Reported): void => driven.send({ kind: 'report', id, event });
  tell({ event: 'job', job: 'j1', state: 'failed', reason: 'the host is away' });
  const failed = { event: 'alarm', what: 'raised', level: 'warning' } as const;
  tell({ ...failed, alarm: 'job-failed:web', message: 'job j1 has failed: the host is away' });
  driven.answer('alarm/list', {
    alarms: [
      standing('job-failed:web', 'job j1 has failed: the host is away'),
      standing('session-waits:web-1a2b3c', 'session web-1a2b3c cannot continue: no key'),
    ],
  });
  driven.tick(3000);
  driven.answer('session/list', { sessions: [session({ waits: 'no key' })], damaged: [] });
  equal(driven.text().match(/the host is away/g)?.length, 1, driven.text());
  equal(driven.text().match(/cannot continue: no key/g)?.length, 1);
  // A service that has no list of them.
  driven.tick(5000);
  driven.fail('alarm/list', refusal('not here'));
  match(driven.text(), /! Session web-1a2b3c cannot continue: no key/);
});
