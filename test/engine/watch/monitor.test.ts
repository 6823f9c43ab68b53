import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { standingAlarms } from '../../../src/alarms/alarm-book.ts';
import { stands } from '../../../src/alarms/alarm-state.ts';
import { type Monitor, openMonitor } from '../../../src/engine/watch/monitor.ts';
import {
  type AlarmNotice,
  messageFile,
  type MessageRecord,
} from '../../../src/formats/store/service/alarm.ts';
import type { ResultOf } from '../../../src/operations/operations.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { broken, faultyFs } from '../../support/faulty-fs.ts';
import { seeded } from '../../support/random.ts';
import { simulatedWorld } from '../../support/store.ts';
import { until } from '../../support/until.ts';

async function disk(): Promise<FileSystem> {
  const { files } = crashingFs(seeded(1));
  for (const path of ['/store', '/box']) await files.makeDirectory(path);
  return files;
}

async function monitorOn(
  files: FileSystem,
  time: string,
  sent?: MessageRecord[],
): Promise<Monitor> {
  const clock = fakeClock(time);
  return openMonitor({
    ...{ world: { ...simulatedWorld(files), clock }, directory: '/store', boxDirectory: '/box' },
    checks: () => 'checked',
    rules: () => ({ latePeriods: 2, persons: 1, warnPercent: 85, criticalPercent: 95 }) as never,
    ownConditions: () => [],
    senders: {
      webhook: () => sent && { send: async (message) => void sent.push(message) },
      mail: () => undefined,
    },
    tell() {},
    log() {},
  });
}

const standing = ({ alarms }: Monitor) =>
  alarms
    .list()
    .filter(stands)
    .map(({ id }) => id);

test('damage that a check found stays until one that looks at as much, with all keys, finds none', async () => {
  await using monitor = await monitorOn(await disk(), '2026-11-21T12:00:00Z');
  const problem = { where: '/store/packs/1', what: 'at 32: it fails its checksum' };
  async function checked(readData: boolean, problems: object[], locked: string[]) {
    const result = { problems, locked, packs: 1, points: 1 } as unknown as ResultOf<'store/check'>;
    await monitor.finished('store/check', { readData }, result);
    return standing(monitor);
  }
  deepEqual(await checked(true, [problem], []), ['damage:contents']);
  deepEqual(await checked(true, [], ['nightly']), ['damage:contents'], 'a set was locked');
  deepEqual(await checked(false, [], []), ['damage:contents'], 'contents were not read');
  deepEqual(await checked(true, [], []), []);
  deepEqual(await checked(false, [problem], []), ['damage:structure']);
  deepEqual(await checked(true, [], []), []);
});

test('damage that a scrub found stays until a whole pass, authenticated, finds none', async () => {
  await using monitor = await monitorOn(await disk(), '2026-11-21T12:00:00Z');
  const problem = { where: '/store/packs/1', what: 'at 32: it fails its checksum' };
  const whole = { problems: [], unverified: [], ended: 'now', summed: 0, found: 0, wanted: 0 };
  async function scrubbed(run: object) {
    const result = { ...whole, ...run } as unknown as ResultOf<'store/scrub'>;
    await monitor.finished('store/scrub', { period: undefined }, result);
    return standing(monitor);
  }
  const damage = ['damage:contents'];
  deepEqual(await scrubbed({ problems: [problem], found: 1, ended: null, wanted: 2 }), damage);
  deepEqual(await scrubbed({ ended: null }), damage, 'the pass goes on');
  deepEqual(await scrubbed({ found: 1 }), damage, 'an earlier run of the pass found it');
  deepEqual(await scrubbed({ summed: 5 }), damage, 'an earlier run had no key');
  deepEqual(await scrubbed({ wanted: 2 }), damage, 'it was not stored again');
  deepEqual(await scrubbed({}), []);
});

test('a clock that jumped is not trusted before its alarm is on the disk', async () => {
  const files = await disk();
  await (await monitorOn(files, '2026-11-21T12:00:00Z'))[Symbol.asyncDispose]();
  const failing = faultyFs(files, (operation, path) =>
    operation === 'create' && path.includes('alarms.json') ? broken(path) : undefined,
  );
  const later = '2028-11-21T12:00:00Z';
  await (await monitorOn(failing, later))[Symbol.asyncDispose]();
  equal((await standingAlarms(files, '/store', 'clock-jump')).length, 0);
  await (await monitorOn(files, later))[Symbol.asyncDispose]();
  equal((await standingAlarms(files, '/store', 'clock-jump')).length, 1);
});

test('a message that an attacker has put into the store is not sent, and one of this box is', async () => {
  const files = await disk();
  const notice: AlarmNotice = {
    ...({ event: 'raised', kind: 'pool-space', level: 'critical' } as const),
    ...{ host: 'box', alarm: 'a', message: '', time: '2026-11-21T12:00:00.000Z' },
  };
  async function plant(directory: string, message: string): Promise<void> {
    await files.makeDirectory(directory);
    const id = '20261121T120000000Z-aabbccdd';
    const record: MessageRecord = {
      ...{ id, created: notice.time, attempts: 0, notBefore: undefined, reason: undefined },
      notice: { ...notice, message },
    };
    await putDurably(files, `${directory}/${id}.json`, messageFile.encode(record, 'checked'));
  }
  await plant('/store/outbox/webhook', 'made up');
  await plant('/box/outbox/webhook', 'our own');
  const sent: MessageRecord[] = [];
  await using monitor = await monitorOn(files, '2026-11-21T12:00:00Z', sent);
  equal(monitor.untold(), 1);
  monitor.start({
    sessions: {
      counts: () => ({ running: 0 }),
      waiting: () => new Map(),
      damaged: () => new Map(),
      placed: { waits: () => new Map(), owed: () => [] },
    },
    jobs: { schedules: { list: () => [] }, keys: {}, queue: { list: () => [] } },
    audit: { check: async () => ({ problem: null }) },
    foreign: async () => [],
    boxProblem: async () => undefined,
  } as unknown as Parameters<Monitor['start']>[0]);
  await until('a message', () => sent.length > 0);
  deepEqual(
    sent.map((it) => it.notice.message),
    ['our own'],
  );
});

test('damage in what the box keeps is an alarm that names the file', async () => {
  const files = await disk();
  await files.makeDirectory('/box/outbox/mail');
  for (const path of ['/box/clock.json', '/box/lockdown.json', '/box/outbox/mail/x.json']) {
    await putDurably(files, path, Buffer.from('{ "sum": "0" }'));
  }
  await using monitor = await monitorOn(files, '2026-11-21T12:00:00Z');
  const said = monitor.alarms.list().map(({ message }) => message);
  for (const name of ['clock', 'lockdown', 'x']) {
    equal(said.filter((it) => it.includes(`/${name}.json: `)).length, 1, name);
  }
});
