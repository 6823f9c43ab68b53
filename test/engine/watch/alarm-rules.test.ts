import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'tap';
import { type Circumstances, conditionsOf } from '../../../src/engine/watch/alarm-rules.ts';
import type { JobRecord, JobState } from '../../../src/formats/store/service/job.ts';
import { openJobFiles } from '../../../src/jobs/job-files.ts';
import { openQueue } from '../../../src/jobs/queue.ts';
import { openSchedules } from '../../../src/jobs/schedules.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import type { PlacementWait } from '../../../src/formats/store/sessions/placement.ts';
import { seeded } from '../../support/random.ts';
import { trustingMemory } from '../../support/box-memory.ts';
import { simulatedWorld } from '../../support/store.ts';

const GiB = 2 ** 30;
const DAY = 24 * 60 * 60_000;
const ROOMY = { freeBytes: 900 * GiB, totalBytes: 1000 * GiB };

const FINE: Circumstances = {
  ...{ now: new Date('2026-11-21T12:00:00Z'), space: ROOMY, running: 0, waiting: new Map() },
  growth: [],
  ...{ placed: new Map(), owed: [] },
  ...{ limits: { warningPercent: 85, criticalPercent: 95 }, before: () => undefined },
  ...{ jobs: [], needsKey: () => false, latePeriods: 2, foreign: [], boxProblem: undefined },
  damagedFrames: 0,
  hurtDisks: [],
  damagedSessions: new Map(),
  schedules: { list: () => [], nth: () => undefined },
};

const idsOf = (it: Partial<Circumstances>): string[] =>
  conditionsOf({ ...FINE, ...it }).map(
    ({ kind, about = '', level }) => `${kind} ${about} ${level}`,
  );

function job(id: string, state: JobState, more: Partial<JobRecord> = {}): JobRecord {
  return {
    ...{ id, kind: 'backup', request: { set: 'a' }, schedule: undefined, state },
    ...{ created: `2026-11-21T${id}:00.000Z`, failures: 0, deaths: 0, notBefore: undefined },
    ...{
      canceling: undefined,
      started: undefined,
      ended: undefined,
      reason: undefined,
      result: undefined,
    },
    ...more,
  };
}

test('space: for the pool by its limits, for sessions while some run', async () => {
  const space = (free: number) => ({ freeBytes: free * GiB, totalBytes: 100 * GiB });
  deepEqual(idsOf({}), []);
  deepEqual(idsOf({ space: space(10) }), ['pool-space  warning']);
  deepEqual(idsOf({ space: space(4), running: 1 }), [
    'pool-space  critical',
    'session-space  warning',
  ]);
  deepEqual(idsOf({ space: space(0.5), running: 1 }).at(-1), 'session-space  critical');
  const low = { space: { freeBytes: 6 * GiB, totalBytes: 10 * GiB }, running: 1 };
  deepEqual(idsOf(low), []);
  deepEqual(idsOf({ ...low, before: () => 'warning' }).at(-1), 'session-space  warning');
});

test('a disk that will be full for backups within two weeks is reported days before', async () => {
  const space = { freeBytes: 301 * GiB, totalBytes: 1000 * GiB };
  const now = Date.parse('2026-11-21T12:00:00Z');
  /** Grows by so much each day, for so many days until now. */
  const growth = (perDay: number, days: number) =>
    Array.from({ length: 24 * days + 1 }, (_, hour) => ({
      time: new Date(now - hour * (DAY / 24)).toISOString(),
      usedBytes: Math.round((699 - (perDay * hour) / 24) * GiB),
      totalBytes: space.totalBytes,
    })).toReversed();
  const seen = (perDay: number, days: number, more: Partial<Circumstances> = {}) =>
    idsOf({ space, growth: growth(perDay, days), ...more });
  deepEqual(seen(30, 6), ['pool-space  warning']);
  const [it] = conditionsOf({ ...FINE, space, growth: growth(30, 6) });
  match(it!.message, /full for backups in some 10 days .* "holdfast store sweep"/);
  deepEqual(seen(20, 6), [], 'in 15 days');
  deepEqual(
    seen(20, 6, { before: () => 'warning' }),
    ['pool-space  warning'],
    'it does not flicker',
  );
  deepEqual(seen(15, 6, { before: () => 'warning' }), []);
  deepEqual(seen(30, 3), [], 'not from a few days');
  deepEqual(seen(-30, 6), []);
});

test('what a guest wrote and cannot be read back is critical, one alarm for each session', async () => {
  const what = 'page 5 of disk vda is damaged in vda.00000001.seg';
  const damagedSessions = new Map([
    ['web-1', [{ where: 'vda', what }]],
    ['web-2', Array.from({ length: 3 }, () => ({ where: 'vdb', what }))],
  ]);
  deepEqual(idsOf({ damagedSessions }), [
    'damaged-overlay web-1 critical',
    'damaged-overlay web-2 critical',
  ]);
});

test('damaged frames are reported until they are stored again', async () => {
  deepEqual(idsOf({ damagedFrames: 3 }), ['damaged-frames  critical']);
  const hurtDisks = ['nightly/vm-1/vda (64 KiB cannot be read)'];
  const [it] = conditionsOf({ ...FINE, damagedFrames: 3, hurtDisks });
  match(
    it!.message,
    /not whole: nightly\/vm-1\/vda \(64 KiB cannot be read\)\. .* Full backups of/,
  );
});

test('a failed job counts until the same succeeds, and a schedule is one thing', async () => {
  const nightly = { schedule: 'nightly' };
  deepEqual(idsOf({ jobs: [job('01:00', 'failed'), job('02:00', 'running')] }), [
    'job-failed 01:00 warning',
  ]);
  deepEqual(idsOf({ jobs: [job('02:00', 'done'), job('01:00', 'failed')] }), []);
  deepEqual(idsOf({ jobs: [job('01:00', 'failed'), job('02:00', 'canceled')] }).length, 1);
  const other = job('02:00', 'done', { request: { set: 'b' } });
  deepEqual(idsOf({ jobs: [job('01:00', 'failed'), other] }).length, 1);
  const twice = [job('01:00', 'failed', nightly), job('02:00', 'failed', nightly)];
  const [alarm, ...more] = conditionsOf({ ...FINE, jobs: twice });
  equal(alarm!.about, 'nightly');
  equal(alarm!.occurrence, '02:00');
  equal(more.length, 0);
  deepEqual(idsOf({ jobs: [...twice, job('03:00', 'done', nightly)] }), []);
  const find = job('01:00', 'failed', { kind: 'check', result: { problems: [] } });
  deepEqual(idsOf({ jobs: [find] }), [], 'what a check found is an alarm of its own');
});

test('a job that waits for a key is reported at once, one that waits for a host after two hours', async () => {
  const waits = { reason: 'no passphrase' };
  const jobs = [job('11:59', 'waiting', waits), job('11:00', 'waiting'), job('10:30', 'running')];
  deepEqual(idsOf({ jobs }), []);
  deepEqual(idsOf({ jobs, needsKey: (id) => id === '11:59' }), ['job-waits 11:59 warning']);
  deepEqual(idsOf({ jobs: [job('09:00', 'waiting', waits)] }), ['job-waits 09:00 warning']);
  deepEqual(idsOf({ jobs: [job('09:00', 'waiting')] }), [], 'it waits for its turn');
});

test('a schedule is late after two of its times without success, however many jobs others made', async () => {
  const clock = fakeClock('2026-11-21T12:00:00Z');
  const world = { ...simulatedWorld(crashingFs(seeded(1)).files), clock };
  await world.files.makeDirectory('/store');
  const files = await openJobFiles(world.files, '/store', { memory: trustingMemory() });
  let isGood = true;
  const quiet = { world, files, onTrouble() {}, onMissed() {}, onChange() {} };
  const queue = await openQueue({
    ...quiet,
    laneOf: (kind) => kind,
    attempt: async ({ schedule }) =>
      isGood || schedule !== 'nightly'
        ? { kind: 'done', result: {} }
        : { kind: 'failed', reason: 'away', again: 'until' },
  });
  const schedules = await openSchedules({ ...quiet, queue });
  const nightly = { name: 'nightly', kind: 'backup', request: {} } as const;
  await schedules.create({ ...nightly, at: '02:00 UTC' });
  queue.start();
  schedules.start();
  const late = () =>
    conditionsOf({
      ...{ ...FINE, now: clock.now(), schedules },
      jobs: queue.list().map((it) => it.job),
    }).filter(({ kind }) => kind === 'schedule-late');
  await clock.advance(3 * DAY);
  deepEqual(late(), []);
  isGood = false;
  await clock.advance(DAY);
  deepEqual(late(), [], 'one time is left out: it may still run');
  await clock.advance(DAY);
  match(late()[0]!.message, /^schedule nightly has not succeeded since 2026-11-24T02:00/);
  await schedules.pause('nightly');
  deepEqual(late(), [], 'a paused one is not late');
  await clock.advance(9 * DAY);
  await schedules.resume('nightly');
  await clock.advance(DAY);
  deepEqual(late(), [], 'its times count from the resumption on');
  isGood = true;
  await clock.advance(DAY);
  deepEqual(late(), []);
  // More than the history holds.
  for (let n = 0; n < 1200; n++) {
    await queue.submit({ kind: 'check', request: {} });
    if (n % 100 > 0) continue;
    while (queue.list().some(({ job }) => job.state === 'waiting')) await clock.advance(1);
  }
  equal(queue.list().filter(({ job }) => job.schedule === 'nightly').length, 1);
  deepEqual(late(), [], 'its last success is still known');
  await schedules[Symbol.asyncDispose]();
  await queue[Symbol.asyncDispose]();
});

test('a session that waits on a hypervisor is an alarm once a person is needed, or once that takes long', async () => {
  const wait = (reason: PlacementWait['reason'], minutes: number): string[] => {
    const since = new Date(FINE.now.getTime() - minutes * 60_000).toISOString();
    return idsOf({ placed: new Map([['web-1', { reason, since, message: 'see there' }]]) });
  };
  deepEqual(wait('person', 0), ['session-waits web-1 critical']);
  deepEqual(wait('machine-gone', 0), ['session-waits web-1 critical']);
  deepEqual(wait('away', 9), []);
  deepEqual(wait('away', 10), ['session-waits web-1 warning']);
  deepEqual(wait('machine-off', 10), []);
});
