import { deepEqual, equal } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { createJob, createSchedule, listSchedules } from '../../../src/engine/jobs/job-service.ts';
import { type Engine, noSecrets } from '../../../src/engine/base/engine.ts';
import type { RequestOf } from '../../../src/operations/operations.ts';
import { openJobKeys } from '../../../src/engine/jobs/job-keys.ts';
import { openSchedules } from '../../../src/jobs/schedules.ts';
import { roomyRuns } from '../../support/job-work.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { makeRawDisk } from '../../support/images.ts';
import { opened } from '../../support/job-queue.ts';
import { seeded } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const MINUTE = 60_000;

async function openedService(home: Parameters<typeof opened>[0], start?: string) {
  const it = await opened(home, async () => ({ kind: 'done', result: {} }), start);
  const schedules = await openSchedules({ ...it });
  const keys = openJobKeys(noSecrets);
  const service = { queue: it.queue, schedules, keys, files: it.files, proofs: roomyRuns() };
  it.queue.start();
  schedules.start();
  return {
    ...{ service, clock: it.clock },
    create: () =>
      createSchedule(
        service,
        // A check needs nothing of the store when it is asked for.
        {} as Engine,
        {
          ...{ schedule: 'often', at: '*:0/10 UTC' },
          job: { kind: 'check', request: { readData: false } },
        },
        {
          ...{ given: undefined, who: undefined, secrets: noSecrets, report() {} },
          signal: new AbortController().signal,
        },
      ),
    last: () => listSchedules(service).schedules.map(({ last }) => last),
    async [Symbol.asyncDispose]() {
      await schedules[Symbol.asyncDispose]();
      await it.queue[Symbol.asyncDispose]();
    },
  };
}

test("what a schedule's last job came to is not that of one which had its name before", async () => {
  await using it = await openedService(crashingFs(seeded(1)));
  equal((await it.create()).last, null);
  await it.clock.advance(11 * MINUTE);
  const [first] = it.last();
  deepEqual([first?.job, first?.state, first?.reason], ['often-20261121T121000Z', 'done', null]);
  await it.service.schedules.remove('often');
  equal((await it.create()).last, null);
  deepEqual(it.last(), [null]);
  await it.clock.advance(10 * MINUTE);
  equal(it.last()[0]?.job, 'often-20261121T122000Z');
});

test('jobs of a schedule that a clock made which was ahead are its own', async () => {
  const home = crashingFs(seeded(1));
  {
    await using ahead = await openedService(home, '2036-05-01T00:00:00Z');
    await ahead.create();
  }
  await using it = await openedService(home.copy(seeded(2)));
  await it.clock.advance(11 * MINUTE);
  equal(it.last()[0]?.job, 'often-20261121T121000Z');
});

test('a restore is of the set that was opened when it was asked for, whatever other sets hold later', async () => {
  const root = temporaryDirectory();
  const image = join(root, 'disk.raw');
  makeRawDisk(image, 2 ** 20, 4);
  const home = await engineIn(root);
  const { point } = await home.backUp('web1', image);
  await using it = await openedService(crashingFs(seeded(3)));
  await using engine = await home.open();
  const options = {
    ...{ given: undefined, who: undefined, secrets: KEY, report() {} },
    signal: new AbortController().signal,
  };
  const to = { to: root, format: undefined, overwrite: false };
  const job = (query: string): RequestOf<'job/create'> => ({
    ...{ kind: 'restore-images', request: { point: query, ...to } },
  });
  const scheduled = async (schedule: string, query: string) =>
    createSchedule(it.service, engine, { schedule, at: 'yearly', job: job(query) }, options);
  const named = async (query: string): Promise<unknown> =>
    (await createJob(it.service, engine, job(query), options)).request['point'];
  for (const query of ['web1@latest', 'nightly/web1@latest', point.slice(0, -3), point]) {
    equal(await named(query), `nightly/${point}`, query);
  }
  const newest = { point: 'nightly/web1@latest', ...to };
  deepEqual((await scheduled('short', 'web1@latest')).request, newest);
  deepEqual((await scheduled('long', 'nightly/web1@latest')).request, newest);
  deepEqual((await scheduled('one', point)).request, { point: `nightly/${point}`, ...to });
});
