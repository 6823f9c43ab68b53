import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { handlersFor } from '../../../src/engine/base/call.ts';
import { jobWork } from '../../../src/engine/jobs/job-work.ts';
import { openJobKeys } from '../../../src/engine/jobs/job-keys.ts';
import { type LatestOptions, verifyLatest } from '../../../src/engine/verify/latest.ts';
import type { JobRecord } from '../../../src/formats/store/service/job.ts';
import { JobError } from '../../../src/jobs/job-error.ts';
import type { JobDraft } from '../../../src/jobs/job-book.ts';
import { OperationFailure } from '../../../src/operations/base/failure.ts';
import { namesOf } from '../../../src/operations/operations.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { roomyRuns, workOf } from '../../support/job-work.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const root = temporaryDirectory();
const home = await engineIn(root);
const image = join(root, 'a.raw');
writeFileSync(image, noise(2 ** 16, 1));
await home.backUp('web1', image);
const web1 = await home.backUp('web1', image);
const web2 = await home.backUp('web2', image);
const web3 = await home.backUp('web3', image);

/** A boot that proves all machines but web2, and cannot be made of web3. */
const boot: LatestOptions['boot'] = async ({ point }) => {
  if (point.includes('web3')) throw new OperationFailure('failed', 'this box has no QEMU');
  const isBad = point.includes('web2');
  return {
    point: point.slice('nightly/'.length),
    proof: isBad
      ? { verdict: 'failed', state: 'panic', reason: 'the kernel panicked' }
      : { verdict: 'proven', state: 'works', reason: 'it is up' },
  } as never;
};

function options(more: Partial<LatestOptions> = {}): LatestOptions {
  return {
    ...{ boot, secrets: KEY, signal: new AbortController().signal, report() {} },
    ...{ given: undefined, who: undefined },
    runs: roomyRuns(),
    ...more,
  };
}

const ALL = { set: 'nightly', machines: undefined };
const DEFAULTS = { timeout: 600, accel: 'auto', agent: false, screen: false } as const;
const request = { ...ALL, ...DEFAULTS, text: [], port: [], http: [] } as never as Parameters<
  typeof verifyLatest
>[1];

test('the latest recovery point of each machine is tried, also where another one could not be', async () => {
  await using engine = await home.open();
  const asked: string[] = [];
  const found = await verifyLatest(
    engine,
    request,
    options({
      boot(own, more) {
        asked.push(own.point);
        return boot(own, more);
      },
    }),
  );
  deepEqual(
    asked.toSorted(),
    [web1, web2, web3].map(({ point }) => `nightly/${point}`),
  );
  deepEqual(
    found.points.map(({ machine, point, verdict, state }) => [machine, point, verdict, state]),
    [
      ['web1', web1.point, 'proven', 'works'],
      ['web2', web2.point, 'failed', 'panic'],
    ],
  );
  deepEqual(found.notTried, [
    { machine: 'web3', point: web3.point, reason: 'this box has no QEMU' },
  ]);
});

test('only the machines that are asked for are tried, and one that is not there is named', async () => {
  await using engine = await home.open();
  const some = await verifyLatest(engine, { ...request, machines: ['web1'] }, options());
  deepEqual(
    some.points.map(({ machine }) => machine),
    ['web1'],
  );
  const none = verifyLatest(engine, { ...request, machines: ['web9'] }, options());
  await rejects(none, { code: 'NOT_FOUND', message: /no recovery point of a machine "web9"/ });
});

const JOB: JobRecord = {
  ...{ id: 'proofs-1', kind: 'verify', request: { set: 'nightly' }, schedule: undefined },
  ...{ created: '2026-11-21T12:00:00Z', state: 'running', canceling: undefined },
  ...{ failures: 0, deaths: 0, notBefore: undefined, started: undefined, ended: undefined },
  ...{ reason: undefined, result: undefined },
};
const attempt = { signal: new AbortController().signal, report: () => {} };

test('a job whose machines do not all work is bad, and says which one and why', async () => {
  await using engine = await home.open();
  const inWorker = handlersFor(namesOf('worker'), async (_name, asked, more) => {
    return boot(asked as never, more) as never;
  });
  const work = workOf(engine, { keys: openJobKeys(KEY), inWorker });
  const ended = await work(JOB, attempt);
  equal(ended.kind, 'bad');
  const reason = 'reason' in ended ? ended.reason : '';
  match(reason, /^1 of 2 recovery points do not work, 1 were not tried: web2: the kernel panicked/);
  const good = await work({ ...JOB, request: { set: 'nightly', machines: ['web1'] } }, attempt);
  equal(good.kind, 'done');
});

test('a backup orders proofs of what it has made, with its key, and only where it is asked to', async () => {
  await using engine = await home.open();
  const given = { kind: 'passphrase', passphrase: Buffer.from('correct horse') } as const;
  const keys = openJobKeys(() => Promise.reject(new Error('no key')));
  const ordered: JobDraft[] = [];
  const inWorker = handlersFor(namesOf('worker'), async () => {
    const points = [web1, web2].map((it) => ({ ...it, damage: [] }));
    return { run: 'run-1', points, failed: [{ machine: 'kvm1/db', reason: 'away' }] } as never;
  });
  const work = workOf(engine, { keys, inWorker }, ordered);
  const backup = { set: 'nightly', from: ['kvm1/*'] };
  const job = { ...JOB, id: 'night-1', kind: 'backup-machine' } as const;
  await work({ ...job, request: backup }, attempt);
  deepEqual(ordered, []);
  keys.give(job, { ...given, passphrase: Buffer.from(given.passphrase) });
  const ended = await work({ ...job, request: { ...backup, thenVerify: true } }, attempt);
  equal(ended.kind, 'bad', 'one machine was not backed up; the others are proven');
  deepEqual(ordered, [
    {
      ...{ id: 'night-1-verify', kind: 'verify' },
      request: { set: 'nightly', machines: ['web1', 'web2'] },
    },
  ]);
  const full = jobWork(engine, {
    ...{ keys, inWorker, runs: roomyRuns() },
    submit: () => Promise.reject(new JobError('FULL', 'too many jobs wait')),
  });
  const unproven = await full({ ...job, request: { ...backup, thenVerify: true } }, attempt);
  equal(unproven.kind, 'bad', 'the backup is not made again');
  match(
    'reason' in unproven ? unproven.reason : '',
    /not verified: too many jobs wait; "holdfast verify latest nightly"/,
  );
  keys.forgetJob('night-1');
  const follower = keys.sourceOf({ id: 'night-1-verify', schedule: undefined });
  deepEqual(
    Buffer.from(((await follower('nightly', 'needed')) as typeof given).passphrase).toString(),
    'correct horse',
  );
});
