import { deepEqual, match } from 'node:assert/strict';
import { test } from 'tap';
import { OperationFailure } from '../../../src/operations/base/failure.ts';
import type { Engine } from '../../../src/engine/base/engine.ts';
import { openJobKeys } from '../../../src/engine/jobs/job-keys.ts';
import { jobWork } from '../../../src/engine/jobs/job-work.ts';
import type { JobRecord } from '../../../src/formats/store/service/job.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';
import { handlersFor } from '../../../src/engine/base/call.ts';
import { namesOf } from '../../../src/operations/operations.ts';

const KEEP: JobRecord = {
  ...{ id: 'keep-1', kind: 'keep', request: { session: 'vm-1' }, schedule: undefined },
  ...{
    created: '2026-11-21T12:00:00Z',
    state: 'running',
    canceling: undefined,
    failures: 0,
    deaths: 0,
  },
  ...{ notBefore: undefined, started: undefined, ended: undefined },
  ...{ reason: undefined, result: undefined },
};

test('a session that is gone at the second try was kept by the first, whichever process died', async () => {
  const inWorker = handlersFor(namesOf('worker'), async () => {
    throw new OperationFailure('not-found', 'there is no session "vm-1"');
  });
  // Nothing but a worker is needed to keep a session.
  const keys = openJobKeys(() => Promise.reject(new Error()));
  const work = jobWork({} as Engine, { keys, inWorker });
  const options = { signal: new AbortController().signal, report: () => {} };
  const kept = { kind: 'done', result: { session: 'vm-1', point: null } };
  deepEqual(await work({ ...KEEP, failures: 1 }, options), kept);
  deepEqual(await work({ ...KEEP, deaths: 1 }, options), kept);
  const missing = { kind: 'failed', reason: 'there is no session "vm-1"', again: 'soon' };
  deepEqual(await work(KEEP, options), missing);
});

test('a restored file that a later attempt finds is kept, and the job ends', async () => {
  let attempts = 0;
  const inWorker = handlersFor(namesOf('worker'), async () => {
    attempts++;
    return {} as never;
  });
  const { files } = crashingFs(seeded(1));
  await (await files.create('/vda.raw'))[Symbol.asyncDispose]();
  const keys = openJobKeys(() => Promise.reject(new Error()));
  const work = jobWork({ store: { files } } as Engine, { keys, inWorker });
  const options = { signal: new AbortController().signal, report: () => {} };
  const request = { point: 'vm-1', disk: 'vda', to: '/vda.raw' };
  const job: JobRecord = { ...KEEP, kind: 'restore', request, deaths: 1 };
  const ended = await work(job, options);
  deepEqual([ended.kind, 'again' in ended && ended.again, attempts], ['failed', 'never', 0]);
  match('reason' in ended ? ended.reason : '', /\/vda\.raw exists.* it is complete/);
  const replaced = { ...job, request: { ...request, overwrite: true } };
  deepEqual([(await work(replaced, options)).kind, attempts], ['done', 1]);
});

test('machines that were not backed up make a job bad, and a window counts from when it was due', async () => {
  const asked: unknown[] = [];
  const inWorker = handlersFor(namesOf('worker'), async (_name, request) => {
    asked.push(request);
    const failed = [{ machine: 'kvm1/db', reason: 'another job runs there' }];
    return { run: 'run-1', points: [], failed } as never;
  });
  let now = new Date('2026-11-21T12:10:00Z');
  const keys = openJobKeys(() => Promise.reject(new Error()));
  const store = { clock: { now: () => now } };
  const work = jobWork({ store } as unknown as Engine, { keys, inWorker });
  const options = { signal: new AbortController().signal, report: () => {} };
  const request = { set: 'nightly', from: ['kvm1/*'], window: 3600 };
  const job: JobRecord = { ...KEEP, kind: 'backup-machine', request };
  const ended = await work(job, options);
  deepEqual(ended, {
    kind: 'bad',
    reason: '1 machine was not backed up: kvm1/db: another job runs there',
    result: {
      ...{ run: 'run-1', points: [] },
      failed: [{ machine: 'kvm1/db', reason: 'another job runs there' }],
    },
  });
  const { window } = asked[0] as { window: number };
  deepEqual(window, 3000);
  now = new Date('2026-11-21T13:00:00Z');
  const late = await work(job, options);
  deepEqual([late.kind, 'again' in late && late.again, asked.length], ['failed', 'never', 1]);
});
