import { deepEqual, equal, match, notEqual, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { openAlarmBook, standingAlarms } from '../../src/alarms/alarm-book.ts';
import {
  alarmId,
  type AlarmNews,
  type Condition,
  troubleOf,
} from '../../src/alarms/alarm-state.ts';
import { fillLevel } from '../../src/alarms/pool-fill.ts';
import { FormatError } from '../../src/formats/format-error.ts';
import { ALARMS_MAX, alarmsFile } from '../../src/formats/store/service/alarm.ts';
import type { Checks } from '../../src/formats/store/base/plain-record.ts';
import { SystemError } from '../../src/sys/base/system-error.ts';
import type { FileSystem } from '../../src/sys/files/file-system.ts';
import { type CrashingFs, crashingFs, onlyPowerCuts } from '../support/crashing-fs.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { faultyFs } from '../support/faulty-fs.ts';
import { seeded } from '../support/random.ts';
import { simulatedWorld } from '../support/store.ts';

/** No write has room while `isFull`. */
function fullDisk(inner: FileSystem) {
  const space = { isFull: true };
  const files = faultyFs(inner, (operation) =>
    space.isFull && operation === 'write' ? new SystemError('NO_SPACE', 'no room') : undefined,
  );
  return Object.assign(space, { files });
}

async function opened(files: FileSystem, checks: Checks = 'checked') {
  const clock = fakeClock('2026-11-21T12:00:00Z');
  const world = { ...simulatedWorld(files), clock };
  await files.makeDirectory('/store');
  await files.syncDirectory('/');
  const news: AlarmNews[] = [];
  const troubles: string[] = [];
  const book = await openAlarmBook({
    ...{ world, directory: '/store', checks: () => checks },
    onNews: async (it) => void news.push(it),
    onTrouble: (message) => void troubles.push(message),
  });
  const heard = (): string[] =>
    news
      .splice(0)
      .map(({ event, alarm: { id, level, times } }) => `${event} ${id} ${level} ${times}`);
  const standing = (): string[] =>
    book.list().flatMap(({ id, ended }) => (ended === undefined ? [id] : []));
  return { book, clock, heard, standing, troubles, files };
}

const disk = (): CrashingFs => crashingFs(seeded(1));
const full = (level: 'warning' | 'critical', message = 'full'): Condition => ({
  ...{ kind: 'pool-space', level, message },
});
const failed = (job: string): Condition => ({
  ...{ kind: 'job-failed', about: 'nightly', level: 'warning', message: `${job} has failed` },
  occurrence: job,
});

test('the ID of a trouble is short enough to type, and the same for the same trouble', async () => {
  const path = '/srv/backups/jobs/check-20261121T180000Z-53c1d4.json';
  const id = alarmId(troubleOf(`${path}: it is the record of "evil"`));
  match(id, /^trouble:[0-9a-f]{8}$/);
  equal(alarmId(troubleOf(`${path}: it is the record of "evil"`)), id);
  notEqual(alarmId(troubleOf(`${path}: it is the record of "other"`)), id);
});

test('raised once, told again when it gets worse, and over when its reason has gone', async () => {
  const { book, heard, standing } = await opened(disk().files);
  const see = (...conditions: Condition[]) =>
    book.compare(['pool-space', 'job-failed'], conditions);
  await see(full('warning'));
  await see(full('warning'));
  await see(full('warning', 'fuller'));
  deepEqual(heard(), ['raised pool-space warning 1']);
  equal(book.list()[0]!.message, 'fuller');
  equal((await book.acknowledge('pool-space', 7)).acknowledged?.uid, 7);
  deepEqual(standing(), ['pool-space'], 'its reason is still there');
  await see(full('critical'));
  deepEqual(heard(), ['acknowledged pool-space warning 1', 'again pool-space critical 1']);
  equal(book.list()[0]!.acknowledged, undefined, 'that is another thing');
  await see(full('warning'));
  deepEqual(heard(), [], 'better is no news');
  await see();
  deepEqual(heard(), ['ended pool-space warning 1']);
  deepEqual(standing(), []);
  await see(full('warning'));
  deepEqual(heard(), ['raised pool-space warning 1'], 'and begins again');
  await rejects(book.acknowledge('nothing', 0), { code: 'NOT_FOUND' });
});

test('an occurrence is reported each time, and not again once it is acknowledged', async () => {
  const { book, heard, standing } = await opened(disk().files);
  const see = (...conditions: Condition[]) => book.compare(['job-failed'], conditions);
  await see(failed('a'));
  await see(failed('b'));
  deepEqual(heard(), ['raised job-failed:nightly warning 1', 'again job-failed:nightly warning 2']);
  await book.acknowledge('job-failed:nightly', 0);
  deepEqual(standing(), []);
  await see(failed('b'));
  deepEqual(heard(), ['acknowledged job-failed:nightly warning 2']);
  await see(failed('c'));
  deepEqual(heard(), ['raised job-failed:nightly warning 3']);
  await see();
  deepEqual(heard(), ['ended job-failed:nightly warning 3']);
});

test('an alarm whose end no machine can know ends only when it is acknowledged', async () => {
  const { book, heard, standing } = await opened(disk().files);
  await book.raise({ kind: 'clock-jump', level: 'critical', message: 'a year' });
  await book.raise({ kind: 'audit-broken', level: 'critical', message: 'line 3', occurrence: '3' });
  await book.compare(['pool-space', 'job-failed'], []);
  await book.clear('clock-jump');
  await book.clear('audit-broken');
  deepEqual(standing().sort(), ['audit-broken', 'clock-jump'], 'altered, and altered back');
  await book.acknowledge('audit-broken', 0);
  await book.acknowledge('clock-jump', 0);
  deepEqual(standing(), []);
  heard();
  await book.raise({ kind: 'audit-broken', level: 'critical', message: 'line 3', occurrence: '3' });
  await book.acknowledge('audit-broken', 0);
  deepEqual(standing(), ['audit-broken'], 'it is still altered');
});

test('alarms are there after a restart, and there are never too many', async () => {
  const home = disk();
  const { book } = await opened(home.files);
  const jobs = Array.from({ length: ALARMS_MAX + 50 }, (_, n) => ({
    ...failed('x'),
    about: `s${n}`,
  }));
  await book.compare(['job-failed'], jobs);
  equal(book.list().length, ALARMS_MAX);
  const again = await opened(home.copy(seeded(2)).files);
  equal(again.book.list().length, ALARMS_MAX);
  await again.book.compare(['job-failed'], jobs.slice(0, 10));
  equal(again.book.list().length, 110, 'of those that are over the newest stay');
  deepEqual(
    again.heard().filter((it) => !it.startsWith('ended')),
    [],
  );
});

test('what is urgent has room in a full book, and what had to go is told once', async () => {
  const { book, clock, heard, standing, troubles } = await opened(disk().files);
  const jobs = Array.from({ length: ALARMS_MAX + 2 }, (_, n) => ({
    ...failed('x'),
    about: `s${n}`,
  }));
  await book.compare(['job-failed'], jobs.slice(0, 10));
  await clock.advance(1000);
  await book.compare(['job-failed'], jobs);
  await book.compare(['job-failed'], jobs);
  deepEqual(troubles.splice(0), [
    `there is no room for alarm job-failed:s${ALARMS_MAX}: x has failed`,
    `there is no room for alarm job-failed:s${ALARMS_MAX + 1}: x has failed`,
  ]);
  heard();
  const damage: Condition = {
    ...{ kind: 'damage', about: 'contents', level: 'critical', message: 'rotten' },
  };
  await book.raise(damage);
  await book.raise(full('warning'));
  deepEqual(heard(), ['raised damage:contents critical 1', 'raised pool-space warning 1']);
  deepEqual(troubles.splice(0), [
    'there is no room for alarm job-failed:s0: x has failed',
    'there is no room for alarm job-failed:s1: x has failed',
  ]);
  await book.compare(['job-failed'], jobs);
  deepEqual(troubles, []);
  equal(standing().length, ALARMS_MAX);
  await book.clear('job-failed:s7');
  await book.raise({ kind: 'trouble', about: 'x', level: 'warning', message: 'x' });
  ok(standing().includes('trouble:x'), 'what is over goes first');
});

test('a full book of critical alarms says what it leaves out', async () => {
  const { book, troubles } = await opened(disk().files);
  const waits = Array.from({ length: ALARMS_MAX }, (_, n): Condition => {
    return { kind: 'session-waits', about: `s${n}`, level: 'critical', message: 'it waits' };
  });
  await book.compare(['session-waits'], waits);
  await book.raise(full('critical'));
  deepEqual(troubles, ['there is no room for alarm pool-space: full']);
});

test('the newest hundred troubles stay open until they are acknowledged', async () => {
  const { book, clock, standing, troubles } = await opened(disk().files);
  for (let n = 0; n < 130; n++) {
    await book.raise({ kind: 'trouble', about: `t${n}`, level: 'warning', message: `no ${n}` });
    await clock.advance(1000);
  }
  const left = standing();
  equal(left.length, 100);
  ok(
    left.includes('trouble:t129') && left.includes('trouble:t30') && !left.includes('trouble:t29'),
  );
  equal(troubles.length, 30);
  equal(troubles[0], 'there is no room for alarm trouble:t0: no 0');
});

test('a power cut at any call: what was raised stands', async () => {
  const work = async (fs: CrashingFs): Promise<boolean> => {
    const { book } = await opened(fs.files);
    await book.raise({ kind: 'clock-jump', level: 'critical', message: 'a year' });
    return true;
  };
  const whole = disk();
  await work(whole);
  for (let cut = 1; cut <= whole.calls() + 1; cut++) {
    for (let seed = 1; seed <= 10; seed++) {
      const fs = crashingFs(seeded(seed), cut);
      const isDone = await work(fs).catch(onlyPowerCuts);
      const after = await opened(fs.reboot().files);
      if (isDone === true) deepEqual(after.standing(), ['clock-jump'], `cut ${cut}`);
      deepEqual(after.troubles, [], `cut ${cut}`);
    }
  }
});

test('a full disk loses no alarm while the service runs; a damaged file is replaced', async () => {
  const home = disk();
  const space = fullDisk(home.files);
  const { book, standing, troubles } = await opened(space.files);
  await book.compare(['pool-space'], [full('critical')]);
  deepEqual(standing(), ['pool-space']);
  equal(troubles.length, 1);
  deepEqual(await standingAlarms(home.files, '/store', 'pool-space'), []);
  space.isFull = false;
  await book.raise({ kind: 'trouble', about: 'x', level: 'warning', message: 'x' });
  equal((await standingAlarms(home.files, '/store', 'pool-space')).length, 1);
  await using file = await home.files.open('/store/alarms.json', 'write');
  await file.truncate(30);
  const again = await opened(home.files);
  deepEqual(again.standing(), []);
  equal(again.troubles.length, 1);
});

test('each flipped bit of the noted alarms is noticed, and what an earlier release noted is taken', async () => {
  const { files } = disk();
  const jump: Condition = { kind: 'clock-jump', level: 'critical', message: 'a year' };
  const before = await opened(files, 'unchecked');
  await before.book.raise(jump);
  const { book, troubles } = await opened(files);
  deepEqual(troubles, []);
  equal((await standingAlarms(files, '/store', 'clock-jump')).length, 1);
  await book.acknowledge('clock-jump', 7);
  await book.raise(jump);
  const bytes = await files.readFile('/store/alarms.json', 2 ** 20);
  const shown = JSON.stringify(alarmsFile.decode(bytes));
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at]! ^= 1;
    try {
      equal(JSON.stringify(alarmsFile.decode(damaged)), shown, `at ${at}`);
    } catch (cause) {
      ok(cause instanceof FormatError, `at ${at}: ${String(cause)}`);
    }
  }
});

test('what could not be written is written later, though nothing new has happened', async () => {
  const home = disk();
  const space = fullDisk(home.files);
  const { book, troubles, heard } = await opened(space.files);
  const jump: Condition = { kind: 'clock-jump', level: 'critical', message: 'a year' };
  await book.raise(jump);
  await book.raise(jump);
  await book.compare(['pool-space'], []);
  deepEqual(await standingAlarms(home.files, '/store', 'clock-jump'), []);
  deepEqual(heard(), ['raised clock-jump critical 1']);
  equal(troubles.length, 1, 'it is told once');
  space.isFull = false;
  await book.raise(jump);
  equal((await standingAlarms(home.files, '/store', 'clock-jump')).length, 1);
  space.isFull = true;
  await book.acknowledge('clock-jump', 7);
  space.isFull = false;
  await book.compare(['pool-space'], []);
  deepEqual(await standingAlarms(home.files, '/store', 'clock-jump'), [], 'nor is that lost');
  const before = home.calls();
  await book.compare(['pool-space'], []);
  equal(home.calls(), before, 'and not written twice');
});

test('a pool at its limit does not ring all day', async () => {
  const limits = { warningPercent: 85, criticalPercent: 95 };
  let level: 'warning' | 'critical' | undefined;
  const levels = [80, 84.9, 85, 84, 82, 81.9, 94, 95, 94, 92, 91, 83, 81, 99, 50].map(
    (percent) => (level = fillLevel(percent, limits, level)) ?? '-',
  );
  deepEqual(levels, [
    ...['-', '-', 'warning', 'warning', 'warning', '-', 'warning', 'critical', 'critical'],
    ...['critical', 'warning', 'warning', '-', 'critical', '-'],
  ]);
});

test('records: what was written is read', async () => {
  const { book } = await opened(disk().files);
  await book.raise(full('warning', 'x'.repeat(10_000)));
  await book.acknowledge('pool-space', 1000);
  const alarms = book.list();
  deepEqual(alarmsFile.decode(alarmsFile.encode({ alarms })).alarms, alarms);
  ok(alarms[0]!.message.endsWith(' ...'));
});
