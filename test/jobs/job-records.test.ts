import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { Order, StoreMemory } from '../../src/box/store-memory.ts';
import type { JobRecord } from '../../src/formats/store/service/job.ts';
import type { Checks } from '../../src/formats/store/base/plain-record.ts';
import { openJobFiles } from '../../src/jobs/job-files.ts';
import type { Outcome } from '../../src/jobs/job-state.ts';
import { openSchedules } from '../../src/jobs/schedules.ts';
import { type CrashingFs, crashingFs } from '../support/crashing-fs.ts';
import { broken, faultyFs, type Operation } from '../support/faulty-fs.ts';
import { opened } from '../support/job-queue.ts';
import { trustingMemory } from '../support/box-memory.ts';
import { seeded } from '../support/random.ts';

const TIME = '2026-11-20T00:00:00.000Z';
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
  const jobs = await openJobFiles(home.files, '/store', { memory: trustingMemory() });
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

test('a job whose record could not be made durable is refused, and does not run after the next start', async () => {
  const home = disk();
  const { files, failing } = failable(home);
  const { queue } = await opened({ files }, async () => DONE);
  failing.add('syncDirectory');
  await rejects(queue.submit({ kind: 'check', request: {} }), { code: 'IO' });
  failing.clear();
  await queue[Symbol.asyncDispose]();
  const again = await opened(home, async () => DONE);
  deepEqual(again.queue.list(), []);
  deepEqual(again.troubles, []);
  await again.queue[Symbol.asyncDispose]();
});

test('a record that cannot be read keeps no other from its checksum', async () => {
  const { files } = disk();
  await files.makeDirectory('/store');
  const jobs = await openJobFiles(files, '/store', { memory: trustingMemory() });
  for (const id of ['a', 'z']) await jobs.putJob(done(id, TIME, TIME));
  for (const [name, length] of [
    ['long', 9 * 2 ** 20],
    ['short', 1],
  ] as const) {
    await using file = await files.create(`/store/jobs/${name}.json`);
    await file.write(new Uint8Array(length), 0);
  }
  let isFinished = false;
  await jobs.check(async () => void (isFinished = true));
  ok(isFinished);
  const checksOf = (): Checks => 'checked';
  const after = await openJobFiles(files, '/store', { memory: trustingMemory(), checksOf });
  const { records, damaged } = await after.jobs();
  deepEqual([records.map(({ id }) => id), damaged.length], [['a', 'z'], 2]);
});

test('the newest jobs of a schedule stay while it is there; those of removed ones are history as any', async () => {
  const home = disk();
  await home.files.makeDirectory('/store');
  const jobs = await openJobFiles(home.files, '/store', { memory: trustingMemory() });
  const minute = (n: number): string => new Date(Date.UTC(2026, 9, 1, 0, n)).toISOString();
  // The oldest of all.
  for (const name of ['good', 'removed', 'bad'])
    await jobs.putJob({ ...done(`${name}-1`, minute(0), minute(0)), schedule: name });
  await jobs.putJob({ ...done('bad-2', minute(0), minute(1)), schedule: 'bad', state: 'failed' });
  for (let n = 2; n < 1300; n++)
    await jobs.putJob({ ...done(`once-${n}`, minute(n), minute(n)), schedule: `once-${n}` });
  const first = await opened(home, async () => DONE);
  const { queue, clock } = first;
  const schedules = await openSchedules({ ...first });
  for (const name of ['good', 'bad', 'removed'])
    await schedules.create({ name, at: 'yearly', kind: 'check', request: {} });
  await schedules.remove('removed');
  queue.start();
  await queue.submit({ kind: 'check', request: {} });
  await clock.advance(1);
  const left = queue.list().map(({ job }) => job.id);
  equal(left.length, 1000 + 3);
  deepEqual(
    ['good-1', 'removed-1', 'bad-1', 'bad-2', 'once-2', 'once-300', 'once-301'].filter((it) =>
      left.includes(it),
    ),
    ['good-1', 'bad-1', 'bad-2', 'once-301'],
  );
  await queue[Symbol.asyncDispose]();
});

test('a canceled job does not run again when the service dies before it has ended', async () => {
  const home = disk();
  // It does not listen.
  const { queue, clock } = await opened(home, () => new Promise(() => {}));
  const { id } = await queue.submit({ kind: 'backup', request: {} });
  queue.start();
  await clock.advance(1);
  equal((await queue.cancel(id)).state, 'running');
  const again = await opened(home.reboot(), async () => DONE);
  again.queue.start();
  await again.clock.advance(1);
  equal(again.queue.show(id).job.state, 'canceled');
  await again.queue[Symbol.asyncDispose]();
});

test('a cancel that cannot be noted is refused, and ends what runs all the same', async () => {
  const { files, failing } = failable(disk());
  const { queue, clock } = await opened({ files }, (_job, { signal }) => {
    const stopped: Outcome = { kind: 'failed', reason: 'aborted', again: 'soon' };
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(stopped)));
  });
  const running = await queue.submit({ kind: 'backup', request: {} });
  const waiting = await queue.submit({ kind: 'backup', request: {} });
  queue.start();
  await clock.advance(1);
  failing.add('write');
  await rejects(queue.cancel(waiting.id), { code: 'IO' });
  equal(queue.show(waiting.id).job.state, 'waiting');
  await rejects(queue.cancel(running.id), { code: 'IO' });
  await clock.advance(1);
  equal(queue.show(running.id).job.state, 'canceled');
  await queue[Symbol.asyncDispose]();
});

test('a job that was refused does not run after the next start', async () => {
  const home = disk();
  const { files, failing } = failable(home);
  const { queue } = await opened({ files }, async () => DONE);
  failing.add('syncDirectory');
  await rejects(queue.submit({ kind: 'backup', request: {} }), { code: 'IO' });
  deepEqual(queue.list(), []);
  const again = await opened(home.copy(seeded(3)), async () => DONE);
  deepEqual(again.queue.list(), []);
});

test('what could not be noted is noted once the disk is well again', async () => {
  const home = disk();
  const { files, failing } = failable(home);
  const { queue, clock, troubles } = await opened({ files }, async () => {
    failing.add('write');
    return DONE;
  });
  const { id } = await queue.submit({ kind: 'backup', request: {} });
  queue.start();
  await clock.advance(1);
  equal(queue.show(id).job.state, 'done');
  await clock.advance(600_000);
  equal(troubles.length, 1, 'told once');
  failing.clear();
  await clock.advance(60_000);
  const again = await opened(home.copy(seeded(2)), async () => DONE);
  equal(again.queue.show(id).job.state, 'done');
});

function done(id: string, created: string, ended: string): JobRecord {
  return {
    ...{ id, kind: 'check', request: {}, schedule: undefined, created, state: 'done' },
    ...{
      canceling: undefined,
      failures: 0,
      deaths: 0,
      notBefore: undefined,
      started: created,
      ended,
    },
    ...{ reason: undefined, result: {} },
  };
}

test('an old record of a schedule that is put back resumes nothing', async () => {
  const home = disk();
  await home.files.makeDirectory('/store');
  const known = new Map<string, readonly string[]>();
  const keep = (orders: readonly Order[], before: number): void => {
    for (const { name, order } of orders) {
      const text = JSON.stringify(order);
      const others = (known.get(name) ?? []).filter((it) => it !== text);
      known.set(name, [text, ...others.slice(0, before)]);
    }
  };
  const memory: StoreMemory = {
    ...trustingMemory(),
    remember: async (orders) => keep(orders, 1),
    settle: async (orders) => keep(orders, 0),
    look: async () => ({
      ...(await trustingMemory().look()),
      isOurs: ({ name, order }) => known.get(name)?.includes(JSON.stringify(order)) === true,
    }),
  };
  const { files, failing } = failable(home);
  const own = await openJobFiles(files, '/store', { memory });
  const schedule = {
    ...({ name: 'often', at: 'hourly', kind: 'check', request: {} } as const),
    ...{ created: TIME, last: TIME, paused: undefined, changed: undefined },
  };
  await own.putSchedule(schedule);
  const path = '/store/schedules/often.json';
  const before = await files.readFile(path, 4096);
  failing.add('rename');
  await rejects(own.putSchedule({ ...schedule, paused: TIME }));
  equal((await own.schedules()).records.length, 1, 'what could not be paused runs on');
  failing.clear();
  await own.putSchedule({ ...schedule, paused: TIME });
  equal((await own.schedules()).records[0]!.paused, TIME);
  await files.unlink(path);
  await using file = await files.create(path);
  await file.write(before, 0);
  const { records, foreign } = await own.schedules();
  deepEqual([records.length, foreign.length], [0, 1]);
});
