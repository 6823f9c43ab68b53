import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { test } from 'tap';
import { OperationFailure } from '../../../src/operations/base/failure.ts';
import type { Engine } from '../../../src/engine/base/engine.ts';
import { noSecrets } from '../../../src/engine/base/engine.ts';
import { checkJob } from '../../../src/engine/jobs/job-checks.ts';
import { changeSet } from '../../../src/engine/points/set-retention.ts';
import { openJobKeys } from '../../../src/engine/jobs/job-keys.ts';
import type { JobRecord } from '../../../src/formats/store/service/job.ts';
import type { JobEvent } from '../../../src/jobs/job-book.ts';
import type { MadePoint } from '../../../src/operations/nouns/backup.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { engineIn } from '../../support/engine.ts';
import { workOf } from '../../support/job-work.ts';
import { noise, seeded } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
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
  const work = workOf({} as Engine, { keys, inWorker });
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
  const work = workOf({ store: { files } } as Engine, { keys, inWorker });
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
  const work = workOf({ store } as unknown as Engine, { keys, inWorker });
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

test('retention goes from machine to machine, and what one of them is refused costs no other', async () => {
  const root = temporaryDirectory();
  const home = await engineIn(root);
  const image = join(root, 'a.raw');
  writeFileSync(image, noise(2 ** 20, 1));
  const machines = ['web1', 'web2', 'web3'];
  const points: MadePoint[] = [];
  for (const machine of machines) {
    await home.backUp(machine, image);
    points.push(await home.backUp(machine, image));
  }
  await using opened = await home.open();
  const { files } = opened.store;
  /** Its disk takes longer than the store waits for its lock. */
  async function rename(from: string, to: string): Promise<void> {
    if (to.endsWith('.forgotten')) await setTimeout(200);
    await files.rename(from, to);
  }
  const engine = { ...opened, store: { ...opened.store, files: { ...files, rename } } };
  const stranger = { ...points[0]!, set: 'gone' };
  const inWorker = handlersFor(namesOf('worker'), async () => {
    return { run: 'run-1', points: [stranger, ...points], failed: [] } as never;
  });
  const keys = openJobKeys(() => Promise.reject(new Error()));
  const work = workOf(engine, { keys, inWorker });
  const notices: string[] = [];
  const options = {
    signal: new AbortController().signal,
    report: (event: JobEvent) => void (event.event === 'notice' && notices.push(event.message)),
  };
  const retention = { last: 1, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
  const request = { set: 'nightly', from: ['kvm1/*'], retention };
  const ended = await work({ ...KEEP, kind: 'backup-machine', request }, options);
  equal(ended.kind, 'done');
  const { result } = ended as unknown as {
    result: { points: { retained: { forgotten: string[] } | null }[] };
  };
  deepEqual(
    result.points.map(({ retained }) => retained?.forgotten.length),
    [undefined, 1, 1, 1],
  );
  match(notices.join(), /forgetting ended early: .*gone/);
});

test('a job forgets by the rules of its set, and is refused where there are none', async () => {
  const root = temporaryDirectory();
  const home = await engineIn(root);
  const image = join(root, 'a.raw');
  writeFileSync(image, noise(2 ** 20, 1));
  for (let n = 0; n < 3; n++) await home.backUp('web1', image);
  await using engine = await home.open();
  const request = { set: 'nightly', machine: undefined, retention: undefined, dryRun: false };
  const check = () => checkJob(engine, { kind: 'retain', request }, { secrets: noSecrets });
  await rejects(check(), /has no retention rules/);
  const rules = { last: 2, daily: 0, weekly: 0, monthly: 0, yearly: 0, hourly: undefined };
  const retention = { ...rules, within: undefined, timeZone: undefined };
  await changeSet(engine, { set: 'nightly', retention, keepAll: false });
  await check();
  const keys = openJobKeys(() => Promise.reject(new Error()));
  const inWorker = handlersFor(namesOf('worker'), () => Promise.reject(new Error()));
  const work = workOf(engine, { keys, inWorker });
  const options = { signal: new AbortController().signal, report: () => {} };
  const job = { ...KEEP, kind: 'retain' as const, request: { set: 'nightly' } };
  const ended = await work(job, options);
  equal(ended.kind, 'done');
  const { result } = ended as unknown as { result: { forgotten: string[]; kept: number } };
  deepEqual([result.forgotten.length, result.kept, 'points' in result], [1, 2, false]);
});

test('a job keeps a bounded list of damage, of all points together, and says how much is left out', async () => {
  const damage = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ where: `packs/${n}`, what: 'it is missing' }));
  const OF = { set: 'nightly', machine: 'web' };
  const points = [
    { ...OF, point: 'web1-1', damage: damage(400) },
    { ...OF, point: 'web2-1', damage: damage(2000) },
    { ...OF, point: 'web3-1', damage: damage(3) },
    { ...OF, point: 'web4-1', damage: [] },
  ];
  const inWorker = handlersFor(namesOf('worker'), async (name) => {
    return (name === 'backup/create' ? points[1] : { run: 'run-1', points, failed: [] }) as never;
  });
  const keys = openJobKeys(() => Promise.reject(new Error()));
  const clock = { now: () => new Date('2026-11-21T12:10:00Z') };
  const store = { directory: '/store', files: crashingFs(seeded(1)).files, clock };
  const work = workOf({ store } as unknown as Engine, { keys, inWorker });
  const options = { signal: new AbortController().signal, report: () => {} };
  const machines = { set: 'nightly', from: ['kvm1/*'] };
  const ended = await work({ ...KEEP, kind: 'backup-machine', request: machines }, options);
  const { result } = ended as unknown as { result: { points: typeof points } };
  deepEqual(
    result.points.map((point) => [point.damage.length, point.damage.at(-1)?.what]),
    [
      [400, 'it is missing'],
      [601, '1400 more damaged or missing parts of the store are not listed'],
      [1, '3 more damaged or missing parts of the store are not listed'],
      [0, undefined],
    ],
  );
  const disks = { set: 'nightly', machine: 'web2', disks: [{ name: 'vda', where: '/a' }] };
  const alone = await work({ ...KEEP, kind: 'backup', request: disks }, options);
  const { damage: kept } = (alone as unknown as { result: (typeof points)[number] }).result;
  deepEqual([kept.length, kept.at(-1)?.where], [1001, 'web2-1']);
});
