import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { createSchedule, listSchedules } from '../../../src/engine/jobs/job-service.ts';
import { type Engine, noSecrets } from '../../../src/engine/base/engine.ts';
import { openJobKeys } from '../../../src/engine/jobs/job-keys.ts';
import { openSchedules } from '../../../src/jobs/schedules.ts';
import { roomyRuns } from '../../support/job-work.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { opened } from '../../support/job-queue.ts';
import { seeded } from '../../support/random.ts';

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
