import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { JobRecord } from '../../src/formats/store/job.ts';
import { openJobFiles } from '../../src/jobs/job-files.ts';
import type { Outcome } from '../../src/jobs/job-state.ts';
import { type CrashingFs, crashingFs } from '../support/crashing-fs.ts';
import { broken, faultyFs, type Operation } from '../support/faulty-fs.ts';
import { opened } from '../support/job-queue.ts';
import { seeded } from '../support/random.ts';

const DONE: Outcome = { kind: 'done', result: { fine: true } };

const disk = (): CrashingFs => crashingFs(seeded(1));

/** A file system of which one kind of call can be made to fail. */
function failable(home: CrashingFs) {
  const failing = new Set<Operation>();
  const files = faultyFs(home.files, (operation, path) =>
    failing.has(operation) ? broken(path) : undefined,
  );
  return { files, failing };
}

test('of what has ended the oldest is forgotten; where that fails, it is told and nothing ends', async () => {
  const home = disk();
  await home.files.makeDirectory('/store');
  const jobs = await openJobFiles(home.files, '/store');
  const minute = (n: number): string => new Date(Date.UTC(2026, 9, 1, 0, n)).toISOString();
  for (let n = 0; n < 1000; n++) await jobs.putJob(done(`check-${n}`, minute(n), minute(n + 1)));
  // It took weeks.
  await jobs.putJob(done('long', minute(0), '2026-11-20T00:00:00.000Z'));
  const { files, failing } = failable(home);
  const { queue, clock, troubles } = await opened({ files }, async () => DONE);
  queue.start();
  failing.add('unlink');
  const { id } = await queue.submit({ kind: 'check', request: {} });
  await clock.advance(1);
  equal(queue.show(id).job.state, 'done');
  match(troubles.join('\n'), /^job check-0 cannot be forgotten: /);
  ok(queue.show('check-0'), 'its record is there, and so it is');
  failing.clear();
  await queue.submit({ kind: 'check', request: {} });
  await clock.advance(1);
  const left = queue.list().map(({ job }) => job.id);
  equal(left.length, 1000);
  deepEqual(
    ['long', 'check-0', 'check-1', 'check-2', 'check-3'].filter((it) => left.includes(it)),
    ['long', 'check-3'],
  );
  await queue[Symbol.asyncDispose]();
});

function done(id: string, created: string, ended: string): JobRecord {
  return {
    ...{ id, kind: 'check', request: {}, schedule: undefined, created, state: 'done' },
    ...{ failures: 0, deaths: 0, notBefore: undefined, started: created, ended },
    ...{ reason: undefined, result: {} },
  };
}
