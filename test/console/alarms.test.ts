import { deepEqual, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { AlarmSummary } from '../../src/protocol/results.ts';
import { driveUp, TIME } from '../support/console.ts';

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
  match(driven.text(), /Somebody has done so already/);
});
