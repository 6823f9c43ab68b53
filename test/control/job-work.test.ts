import { deepEqual } from 'node:assert/strict';
import { test } from 'tap';
import { OperationFailure } from '../../src/control/failures.ts';
import type { RunApart } from '../../src/control/handlers.ts';
import type { House } from '../../src/control/house.ts';
import { openJobKeys } from '../../src/control/job-keys.ts';
import { jobWork } from '../../src/control/job-work.ts';
import type { JobRecord } from '../../src/formats/store/job.ts';

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
  const apart: RunApart = async () => {
    throw new OperationFailure('not-found', 'there is no session "vm-1"');
  };
  // Nothing but what runs apart is needed to keep a session.
  const keys = openJobKeys(() => Promise.reject(new Error()));
  const work = jobWork({} as House, { keys, apart });
  const options = { signal: new AbortController().signal, report: () => {} };
  const kept = { kind: 'done', result: { session: 'vm-1', point: null } };
  deepEqual(await work({ ...KEEP, failures: 1 }, options), kept);
  deepEqual(await work({ ...KEEP, deaths: 1 }, options), kept);
  const missing = { kind: 'failed', reason: 'there is no session "vm-1"', again: 'soon' };
  deepEqual(await work(KEEP, options), missing);
});
