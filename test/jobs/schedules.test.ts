import { deepEqual, equal, match, notEqual, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { type JobFiles, openJobFiles } from '../../src/jobs/job-files.ts';
import type { Outcome } from '../../src/jobs/job-state.ts';
import { openSchedules } from '../../src/jobs/schedules.ts';
import { type CrashingFs, crashingFs } from '../support/crashing-fs.ts';
import { broken, faultyFs, type Operation } from '../support/faulty-fs.ts';
import { opened } from '../support/job-queue.ts';
import { trustingMemory } from '../support/box-memory.ts';
import { seeded } from '../support/random.ts';

const MINUTE = 60_000;
const DONE: Outcome = { kind: 'done', result: { fine: true } };
const REQUEST = { set: 'a' };

const disk = (): CrashingFs => crashingFs(seeded(1));

test('a schedule makes its jobs in time, one while none of them waits, and makes up for once', async () => {
  const home = disk();
  let gate = Promise.withResolvers<Outcome>();
  const first = await opened(home, () => gate.promise);
  const schedules = await openSchedules({ ...first });
  const at = '*:0/10 UTC';
  await schedules.create({ name: 'often', at, kind: 'backup', request: REQUEST });
  await rejects(schedules.create({ name: 'often', at, kind: 'check', request: {} }), {
    code: 'EXISTS',
  });
  await rejects(schedules.create({ name: 'x', at: 'soon', kind: 'check', request: {} }), {
    code: 'BAD_TIME',
  });
  await rejects(schedules.create({ name: '../x', at, kind: 'check', request: {} }), /letters/);
  equal(schedules.list()[0]!.next, '2026-11-21T12:10:00.000Z');
  first.queue.start();
  schedules.start();
  await first.clock.advance(9 * MINUTE);
  equal(first.queue.list().length, 0);
  await first.clock.advance(2 * MINUTE);
  deepEqual(
    first.queue.list().map(({ job }) => [job.id, job.state]),
    [['often-20261121T121000Z', 'running']],
  );
  await first.clock.advance(20 * MINUTE);
  equal(first.queue.list().length, 1, 'its job still runs');
  match(first.troubles.join(), /skipped/);
  gate.resolve(DONE);
  gate = Promise.withResolvers();
  gate.resolve(DONE);
  await first.clock.advance(10 * MINUTE);
  equal(first.queue.list().length, 2);
  await schedules[Symbol.asyncDispose]();
  await first.queue[Symbol.asyncDispose]();

  // A week later.
  const later = await opened(home.copy(seeded(4)), async () => DONE, '2026-11-28T12:05:00Z');
  const again = await openSchedules({ ...later });
  later.queue.start();
  again.start();
  await later.clock.advance(1);
  equal(later.queue.list().length, 3, 'once for all that was missed');
  await later.clock.advance(5 * MINUTE);
  equal(later.queue.list()[0]!.job.id, 'often-20261128T121000Z');
  await again.remove('often');
  await later.clock.advance(60 * MINUTE);
  equal(later.queue.list().length, 4);
  await rejects(again.remove('often'), { code: 'NOT_FOUND' });
});

test('a paused schedule makes no jobs, and none for the times of then once it is resumed', async () => {
  const home = disk();
  const it = await opened(home, async () => DONE);
  const schedules = await openSchedules({ ...it });
  await schedules.create({
    ...{ name: 'often', at: '*:0/10 UTC', kind: 'backup', request: REQUEST },
  });
  it.queue.start();
  schedules.start();
  const paused = await schedules.pause('often');
  equal(paused.next, undefined);
  deepEqual(await schedules.pause('often'), paused);
  await it.clock.advance(30 * MINUTE);
  equal(it.queue.list().length, 0);
  equal((await schedules.run('often')).schedule, 'often', 'by hand it can be run');
  await it.clock.advance(1);
  await schedules[Symbol.asyncDispose]();
  await it.queue[Symbol.asyncDispose]();

  const later = await opened(home.copy(seeded(4)), async () => DONE, '2026-11-21T13:05:00Z');
  const again = await openSchedules({ ...later });
  later.queue.start();
  again.start();
  await later.clock.advance(MINUTE);
  equal(later.queue.list().length, 1, 'after a restart it is still paused');
  equal((await again.resume('often')).next, '2026-11-21T13:10:00.000Z');
  await later.clock.advance(MINUTE);
  equal(later.queue.list().length, 1);
  await later.clock.advance(5 * MINUTE);
  equal(later.queue.list()[0]!.job.id, 'often-20261121T131000Z');
  await rejects(again.pause('seldom'), { code: 'NOT_FOUND' });
  await again[Symbol.asyncDispose]();
  await later.queue[Symbol.asyncDispose]();
});

test('other times of a schedule count from now on, and are refused if they never come', async () => {
  const home = disk();
  const it = await opened(home, async () => DONE);
  const schedules = await openSchedules({ ...it });
  await schedules.create({
    ...{ name: 'often', at: '*:0/10 UTC', kind: 'backup', request: REQUEST },
  });
  await rejects(schedules.change('often', '1999-01-01 UTC'), { code: 'BAD_TIME' });
  await rejects(schedules.change('often', 'soon'), { code: 'BAD_TIME' });
  equal(schedules.list()[0]!.next, '2026-11-21T12:10:00.000Z');
  const { next, schedule } = await schedules.change('often', '*:0/15 UTC');
  deepEqual([next, schedule.at], ['2026-11-21T12:15:00.000Z', '*:0/15 UTC']);
  it.queue.start();
  schedules.start();
  await it.clock.advance(14 * MINUTE);
  equal(it.queue.list().length, 0);
  await it.clock.advance(2 * MINUTE);
  equal(it.queue.list()[0]!.job.id, 'often-20261121T121500Z');
  await schedules[Symbol.asyncDispose]();
  await it.queue[Symbol.asyncDispose]();
});

test('a schedule that is run now has one job more, never two at once, and keeps its times', async () => {
  const it = await opened(disk(), async () => DONE);
  const schedules = await openSchedules({ ...it });
  await rejects(schedules.run('hourly'), { code: 'NOT_FOUND' });
  await schedules.create({ name: 'hourly', at: 'hourly', kind: 'backup', request: REQUEST });
  const { next } = schedules.list()[0]!;
  // The queue has not been started: the first waits.
  const [first, second] = await Promise.allSettled([
    schedules.run('hourly'),
    schedules.run('hourly'),
  ]);
  const job = first.status === 'fulfilled' ? first.value : undefined;
  deepEqual([job?.schedule, job?.kind, job?.request], ['hourly', 'backup', REQUEST]);
  match(
    String(second.status === 'rejected' && second.reason),
    /job backup-\S+ of schedule "hourly" is waiting/,
  );
  equal(schedules.list()[0]!.next, next);
  it.queue.start();
  await it.clock.advance(1);
  notEqual((await schedules.run('hourly')).id, job?.id);
  await schedules[Symbol.asyncDispose]();
  await it.queue[Symbol.asyncDispose]();
});

test('a schedule of seconds is kept to the second', async () => {
  const { queue, clock, ...rest } = await opened(disk(), async () => DONE);
  const schedules = await openSchedules({ queue, ...rest, world: { ...rest.world, clock } });
  await schedules.create({ name: 's', at: '*:*:0/5', kind: 'check', request: {} });
  queue.start();
  schedules.start();
  await clock.advance(MINUTE);
  equal(queue.list().length, 12);
  await schedules[Symbol.asyncDispose]();
  await queue[Symbol.asyncDispose]();
});

test('a crash between making a job and noting that does not make it twice', async () => {
  const home = disk();
  const due = '2026-11-21T12:10:00Z';
  const { queue, files } = await opened(home, async () => DONE);
  const created = '2026-11-21T12:00:00.000Z';
  const schedule = {
    ...({ name: 's', at: '*:10 UTC', kind: 'backup', request: REQUEST } as const),
    ...{ paused: undefined, changed: undefined },
  };
  await files.putSchedule({ ...schedule, created, last: created });
  await queue.submit({ id: 's-20261121T121000Z', kind: 'backup', request: REQUEST, schedule: 's' });
  const again = await opened(home.copy(seeded(5)), async () => DONE, due);
  const schedules = await openSchedules({ ...again });
  again.queue.start();
  schedules.start();
  await again.clock.advance(MINUTE);
  deepEqual(
    again.queue.list().map(({ job }) => job.id),
    ['s-20261121T121000Z'],
  );
  equal(schedules.list()[0]!.next, '2026-11-21T13:10:00.000Z');
});

test('a clock that was years ahead silences no schedule and holds no job back', async () => {
  const home = disk();
  const ahead = await opened(
    home,
    async () => ({ kind: 'failed', reason: 'host is away', again: 'until' }),
    '2036-05-01T00:00:00Z',
  );
  const early = await openSchedules({ ...ahead });
  await early.create({ name: 'often', at: '*:0/10 UTC', kind: 'backup', request: REQUEST });
  ahead.queue.start();
  early.start();
  await ahead.clock.advance(11 * MINUTE);
  equal(ahead.queue.list()[0]!.job.state, 'waiting');
  await early[Symbol.asyncDispose]();
  await ahead.queue[Symbol.asyncDispose]();

  // NTP has set the clock in the meantime.
  const now = await opened(home.copy(seeded(6)), async () => DONE);
  const schedules = await openSchedules({ ...now });
  equal(schedules.list()[0]!.next, '2026-11-21T12:10:00.000Z');
  now.queue.start();
  schedules.start();
  await now.clock.advance(1);
  equal(now.queue.list()[0]!.job.started, '2026-11-21T12:00:00.000Z', 'it need not wait for 2036');
  await now.clock.advance(10 * MINUTE);
  deepEqual(
    now.queue.list().map(({ job }) => job.id),
    ['often-20360501T001000Z', 'often-20261121T121000Z'],
  );
  await schedules[Symbol.asyncDispose]();
  await now.queue[Symbol.asyncDispose]();

  // Or it was ahead by less than a job may have to wait.
  const behind = await opened(home.copy(seeded(7)), async () => DONE, '2036-04-30T23:50:00Z');
  behind.queue.start();
  await behind.clock.advance(MINUTE);
  equal(behind.queue.list()[0]!.job.state, 'waiting');
  behind.queue.wake();
  await behind.clock.advance(1);
  equal(behind.queue.list()[0]!.job.state, 'done', 'woken, though it was begun later than now');
  await behind.queue[Symbol.asyncDispose]();
});

test('a schedule that was removed while it fired does not come back', async () => {
  const home = disk();
  const first = await opened(home, async () => DONE);
  const noting = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const files: JobFiles = {
    ...first.files,
    async putSchedule(schedule) {
      if (schedule.last !== schedule.created) {
        noting.resolve();
        await gate.promise;
      }
      await first.files.putSchedule(schedule);
    },
  };
  const schedules = await openSchedules({ ...first, files });
  await schedules.create({ name: 's', at: '*:0/10 UTC', kind: 'check', request: {} });
  schedules.start();
  await first.clock.advance(10 * MINUTE);
  await noting.promise;
  const removed = schedules.remove('s');
  await first.clock.advance(1);
  gate.resolve();
  await removed;
  deepEqual(schedules.list(), []);
  await schedules[Symbol.asyncDispose]();
  deepEqual((await first.files.schedules()).records, []);
});

test('a schedule that cannot be removed or written is what the disk says', async () => {
  const home = disk();
  const first = await opened(home, async () => DONE);
  let failing: Operation | undefined;
  const files = faultyFs(home.files, (operation, path) =>
    operation === failing ? broken(path) : undefined,
  );
  const jobFiles = await openJobFiles(files, '/store', { memory: trustingMemory() });
  const schedules = await openSchedules({ ...first, files: jobFiles });
  const draft = { name: 's', at: 'daily', kind: 'check', request: {} } as const;
  failing = 'syncDirectory';
  await rejects(schedules.create(draft), { code: 'IO' });
  deepEqual(schedules.list(), []);
  deepEqual((await jobFiles.schedules()).records, [], 'nor with the next start');
  failing = undefined;
  await schedules.create(draft);
  failing = 'syncDirectory';
  await rejects(schedules.remove('s'), { code: 'IO' });
  equal(schedules.list().length, 1, 'a caller that got the error can try again');
  failing = undefined;
  await schedules.remove('s');
  deepEqual(schedules.list(), []);
  deepEqual((await jobFiles.schedules()).records, []);
});
