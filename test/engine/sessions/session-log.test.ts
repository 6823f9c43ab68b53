import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { sessionLog } from '../../../src/engine/sessions/session-log.ts';
import { fakeClock } from '../../support/fake-clock.ts';

test('what happened to a session is told in order, with its times', async () => {
  const clock = fakeClock('2026-11-21T18:00:00Z');
  const log = sessionLog(clock);
  log.note('a', 'started');
  await clock.advance(1000);
  log.note('b', 'started');
  log.note('a', 'stopped');
  deepEqual(log.lines('a'), [
    { time: '2026-11-21T18:00:00.000Z', message: 'started' },
    { time: '2026-11-21T18:00:01.000Z', message: 'stopped' },
  ]);
  deepEqual(log.lines('nobody'), []);
});

test('however much happens, memory stays bounded, and who is busy is not forgotten', async () => {
  const log = sessionLog(fakeClock('2026-11-21T18:00:00Z'));
  for (let n = 0; n < 10_000; n++) log.note('busy', `${n}`);
  const { length } = log.lines('busy');
  equal(length, 500);
  for (let n = 0; n < 1000; n++) {
    log.note(`s${n}`, 'started');
    log.note('busy', 'again');
  }
  equal(log.lines('busy').length, length);
  equal(log.lines('s0').length, 0);
  equal(log.lines('s999').length, 1);
});
