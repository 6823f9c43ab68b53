import type { JobSummary } from '../../../src/operations/nouns/job.ts';
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import {
  answerPage,
  type Driven,
  driveUp,
  FACTS,
  GONE,
  job,
  refusal,
  TIME,
} from '../../support/console.ts';

const DOWN = '\u001b[B';
const UP = '\u001b[A';
function onJobs(...jobs: readonly JobSummary[]): Driven {
  const driven = driveUp();
  driven.type('5');
  driven.answer('job/list', { jobs, total: jobs.length, first: 0 });
  return driven;
}

const requestOf = (driven: Driven, name: string): unknown =>
  driven.asked.find(({ call }) => call.name === name)!.call.request;

test('jobs say what they are for and how far they have come; many are asked for by the page', async () => {
  const waiting = job({ job: 'b2', state: 'waiting', progress: null, reason: 'the host is away' });
  const driven = onJobs(job(), waiting);
  match(driven.text(), /^>11-21 18:00 +running +backup of web to nightly +backup 25 % of/m);
  match(driven.text(), /^ 11-21 18:00 +waiting +backup of web to nightly +the host is away/m);
  const long = driveUp();
  long.type('5');
  const jobs = Array.from({ length: 300 }, (_, n) => job({ job: `b${n}` }));
  long.answer('job/list', { jobs, total: 2000, first: 0 });
  match(long.text(), /1 of 2000/);
  long.type('\u001b[F');
  deepEqual(requestOf(long, 'job/list'), { first: 1882, count: 300, active: false });
});

test('a job that waits for a key is given it', async () => {
  const waiting = job({
    ...{ state: 'waiting', progress: null, reason: 'no passphrase', needsKeyOf: 'nightly' },
  });
  const driven = onJobs(waiting);
  driven.type('u');
  deepEqual(requestOf(driven, 'job/unlock'), { job: 'backup-1' });
  driven.fail('job/unlock', refusal('no passphrase', 'nightly'));
  match(driven.text(), /The set "nightly" is encrypted/);
  driven.type('correct horse\r');
  const secret = driven.asked.find(({ call }) => call.name === 'job/unlock')!.secret;
  deepEqual(secret, {
    kind: 'passphrase',
    base64: Buffer.from('correct horse').toString('base64'),
  });
  driven.answer('job/unlock', { ...waiting, needsKeyOf: null });
  match(driven.text(), /unlock backup-1: unlocked/);
  const other = onJobs(job());
  other.type('u');
  match(other.text(), /does not wait for a key/);
});

test('a job is seen with its log as both go on', async () => {
  const driven = onJobs(job());
  driven.type('\r');
  driven.answer('job/show', job({ reason: 'tried again', progress: null }));
  const lines = Array.from({ length: 30 }, (_, n) => ({ time: TIME, message: `line ${n}` }));
  deepEqual(requestOf(driven, 'job/log'), { job: 'backup-1', first: 0 });
  driven.answer('job/log', { job: 'backup-1', lines });
  match(driven.text(), /schedule web.*Attempts +1 failed.*tried again.*18:00:00 {2}line 29/s);
  driven.type(UP + UP);
  ok(!driven.text().includes('line 28'));
  driven.tick();
  deepEqual(requestOf(driven, 'job/log'), { job: 'backup-1', first: 30 });
  driven.answer('job/log', { job: 'backup-1', lines: [{ time: TIME, message: 'new' }] });
  match(driven.text(), /3 newer below.*line 27\n/s);
  driven.type('\u001b[F');
  match(driven.text(), /followed.*line 29.*new/s);
  driven.fail('job/show', GONE);
  match(driven.text(), /does not answer/);
  ok(!driven.text().includes('tried again'));
  driven.tick(3000);
  driven.answer('service/show', FACTS);
  deepEqual(requestOf(driven, 'job/log'), { job: 'backup-1', first: 0 }, 'all of it again');
});

test('events of a job that is no longer shown change nothing', async () => {
  const driven = onJobs(job(), job({ job: 'b2' }));
  driven.type('\r');
  const before = driven.asked.find(({ call }) => call.name === 'job/log')!;
  driven.type(`\r${DOWN}\r`);
  equal(before.call.name, 'job/log');
  driven.answer('job/log', { job: 'backup-1', lines: [{ time: TIME, message: 'of another' }] });
  ok(!driven.text().includes('of another'));
  deepEqual(requestOf(driven, 'job/log'), { job: 'b2', first: 0 });
});

test('a job is canceled by its word, and one that has ended is not', async () => {
  const driven = onJobs(job());
  driven.type('c\r');
  match(driven.text(), /Type cancel/);
  driven.type('cancel\r');
  deepEqual(requestOf(driven, 'job/cancel'), { job: 'backup-1' });
  driven.answer('job/cancel', job({ state: 'canceled' }));
  match(driven.text(), /cancel backup-1: done/);
  const over = onJobs(job({ state: 'done', progress: null }));
  over.type('c');
  match(over.text(), /has ended already/);
  ok(!over.model().dialog);
});

test('a backup of a set is started; what is wrong is said where it is typed', async () => {
  const driven = driveUp();
  driven.type('4');
  driven.answer('set/list', {
    sets: [
      {
        set: 'nightly',
        created: TIME,
        encrypted: true,
        passkey: false,
        lockDays: 0,
        problem: null,
        retention: null,
        retentionProblem: null,
      },
    ],
    damaged: [{ path: '/s', reason: 'set "weekly": its checksum is wrong' }],
  });
  match(driven.text(), /^ DAMAGED set "weekly": its checksum is wrong$/m);
  driven.type('b\r');
  match(driven.text(), /Backup set +\[ nightly \].*Machine is missing/s);
  driven.type(`${DOWN}${DOWN}web${DOWN}vda=/a.qcow2, vdb\r`);
  match(driven.text(), /"vdb" is not NAME=IMAGE/);
  driven.type(`=/b${DOWN}${DOWN}7\r`);
  const keeps = {
    ...{ hourly: undefined, daily: 0, weekly: 0, monthly: 0, yearly: 0 },
    ...{ within: undefined, timeZone: undefined },
  };
  deepEqual(requestOf(driven, 'job/create'), {
    kind: 'backup',
    request: {
      ...{ set: 'nightly', machine: 'web', format: undefined, changed: undefined },
      disks: [
        { name: 'vda', where: '/a.qcow2' },
        { name: 'vdb', where: '/b' },
      ],
      ...{ retention: { last: 7, ...keeps }, thenVerify: false },
    },
  });
  driven.answer('job/create', job());
  match(driven.text(), /start backup of web: created job backup-1/);
});

test('a recovery point is backed up again from where it came', async () => {
  const driven = driveUp();
  driven.type('2');
  answerPage(driven, 3);
  driven.type('b\r');
  const { request } = requestOf(driven, 'job/create') as { request: Record<string, unknown> };
  deepEqual(
    [request['set'], request['machine'], request['disks']],
    ['nightly', 'web0', [{ name: 'vda', where: '/x' }]],
  );
});

test('a schedule is made; what the service says of its time comes back with the form', async () => {
  const driven = driveUp();
  driven.type('6');
  driven.answer('schedule/list', { schedules: [] });
  match(driven.text(), /No schedules: n creates a schedule/);
  driven.type(`nverify${DOWN}${'\u007f'.repeat(5)}at noon${DOWN} `);
  ok(!driven.text().includes('Machine'), 'a check has no machine');
  driven.type(`${DOWN} \r`);
  const check = { kind: 'check', request: { readData: true } };
  deepEqual(requestOf(driven, 'schedule/create'), {
    ...{ schedule: 'verify', at: 'at noon', job: check },
  });
  driven.fail('schedule/create', refusal('"at noon" is no calendar expression'));
  match(driven.text(), /\[ verify \].*\[ at noon \].*"at noon" is no calendar expression/s);
  driven.type(`${UP}${UP}${'\u007f'.repeat(7)}12:00\r`);
  equal((requestOf(driven, 'schedule/create') as { at: string }).at, '12:00');
  const made = {
    schedule: 'verify',
    at: '12:00',
    ...check,
    kind: 'check',
    created: TIME,
    adopted: true,
    paused: null,
  } as const;
  driven.answer('schedule/create', { ...made, next: TIME, last: null });
  match(driven.text(), /schedule verify: first job at 2026-11-21 18:00 UTC/);
  driven.answer('schedule/list', { schedules: [{ ...made, next: TIME, last: null }] });
  match(driven.text(), /^>verify +11-21 18:00 +- +12:00 +check of/m);
  driven.type('\r');
  match(driven.text(), /last +none of its jobs has ended/);
  driven.type('\u001b');
  driven.tick(5000);
  const last = { job: 'verify-1', state: 'failed', ended: TIME, reason: 'damage' } as const;
  driven.answer('schedule/list', { schedules: [{ ...made, next: null, last }] });
  match(driven.text(), /^>verify +never again +11-21 18:00 failed +12:00 +check/m);
  driven.type('\r');
  match(driven.text(), /last +job verify-1 failed at 2026-11-21 18:00 UTC: damage/);
  driven.type('\u001b');
  driven.type('p');
  deepEqual(requestOf(driven, 'schedule/pause'), { schedule: 'verify' });
  driven.answer('schedule/pause', { ...made, next: null, paused: TIME, last });
  driven.answer('schedule/list', { schedules: [{ ...made, next: null, paused: TIME, last }] });
  match(driven.text(), /^>verify +paused +11-21 18:00 failed/m);
  driven.type('p');
  deepEqual(requestOf(driven, 'schedule/resume'), { schedule: 'verify' });
  driven.answer('schedule/resume', { ...made, next: TIME, last });
  driven.type(`t${'\u007f'.repeat(5)}13:00\r`);
  deepEqual(requestOf(driven, 'schedule/change'), { schedule: 'verify', at: '13:00' });
  driven.answer('schedule/change', { ...made, at: '13:00', next: TIME, last });
  driven.type('dremove\r');
  deepEqual(requestOf(driven, 'schedule/remove'), { schedule: 'verify' });
});
