import { equal } from 'node:assert/strict';
import { test } from 'tap';
import type { JobRecord } from '../../src/formats/store/service/job.ts';
import { found } from '../../src/jobs/job-state.ts';

const NOW = new Date('2026-11-21T12:00:00Z');
const JOB: JobRecord = {
  ...{ id: 'a', kind: 'check', request: {}, schedule: undefined, created: NOW.toISOString() },
  ...{ state: 'running', canceling: undefined, failures: 0, deaths: 0, notBefore: undefined },
  ...{ started: NOW.toISOString(), ended: undefined, reason: undefined, result: undefined },
};

test('a job that ran when the service died runs again, but not one that was asked to end', async () => {
  equal(found(JOB, NOW).state, 'waiting');
  equal(found(JOB, NOW).deaths, 1);
  equal(found({ ...JOB, canceling: true }, NOW).state, 'canceled');
  equal(found({ ...JOB, state: 'done' }, NOW).state, 'done');
});

test('a job that takes the service with it each time is left alone for longer and longer', async () => {
  const delayMs = (deaths: number): number =>
    Date.parse(found({ ...JOB, deaths }, NOW).notBefore!) - NOW.getTime();
  equal(delayMs(0), 0);
  equal(delayMs(2), 0);
  equal(delayMs(3), 10_000);
  equal(delayMs(8), 60_000);
});
