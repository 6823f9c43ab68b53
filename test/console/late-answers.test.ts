import type { AlarmSummary } from '../../src/operations/nouns/alarm.ts';
import type { OpenFilesSummary } from '../../src/operations/nouns/files.ts';
import type { ScheduleSummary } from '../../src/operations/nouns/job.ts';
import type { ResultOf } from '../../src/operations/operations.ts';
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import {
  answerPage,
  type Driven,
  drive,
  driveUp,
  EXPORT,
  FACTS,
  GONE,
  job,
  onSessions,
  refusal,
  session,
  TIME,
} from '../support/console.ts';

// An answer belongs to what was asked, and a key to what was seen when it was pressed.

const DOWN = '\u001b[B';

function seen(driven: Driven, title: string): void {
  for (let tries = 0; tries < 20 && !driven.rows()[0]!.includes(`${title}]`); tries++) {
    driven.type('\t');
  }
  ok(driven.rows()[0]!.includes(`${title}]`), driven.rows()[0]);
}

const opened = (id: string): OpenFilesSummary => ({
  ...{ id, point: `point-${id}`, at: `/run/${id}`, opened: TIME, process: 1, state: 'open' },
  volumes: ['vda1', 'vda2'].map((name) => ({
    ...{ volume: name, disk: 'vda', kind: 'ext4', found: 'ext4', label: null, size: 2 ** 30 },
    closed: null,
  })),
});

const alarm = (name: string): AlarmSummary => ({
  ...{ alarm: name, kind: name, level: 'warning', about: null, message: name, times: 1 },
  ...{ raised: TIME, changed: TIME, acknowledged: null, ended: null },
});

const schedule = (name: string): ScheduleSummary => ({
  ...{ schedule: name, at: 'daily', kind: 'check', request: {}, created: TIME, next: TIME },
  ...{ last: null, adopted: true, paused: null },
});

const disk = (name: string): ResultOf<'disk/list'>['disks'][number] => ({
  ...{ name, model: null, serial: name, size: 8e12, bus: 'sata', spins: true, holds: [] },
  ...{ inUse: false, health: { state: 'good', detail: '' } },
});

const sshKey = (fingerprint: string): ResultOf<'ssh/show'>['keys'][number] => ({
  ...{ user: 'admin', fingerprint, type: 'ED25519', comment: '' },
});

/** Answers with rows of those names; `key` does something to the one that is chosen, which `text` sees. */
const LISTS = [
  {
    title: 'Alarms',
    key: '\r',
    text: /Alarm (\w+)/,
    answer: (driven: Driven, names: string[]) =>
      driven.answer('alarm/list', { alarms: names.map(alarm) }),
  },
  {
    title: 'Schedules',
    key: 'd',
    text: /remove schedule (\w+)/,
    answer: (driven: Driven, names: string[]) =>
      driven.answer('schedule/list', { schedules: names.map(schedule) }),
  },
  {
    title: 'Disks',
    key: '\r',
    text: /(\w+) \(disk, empty\) for backups/,
    answer: (driven: Driven, names: string[]) =>
      driven.answer('disk/list', { disks: names.map(disk) }),
  },
  {
    title: 'SSH',
    key: 'd',
    text: /The key (\w+) /,
    answer: (driven: Driven, names: string[]) =>
      driven.answer('ssh/show', {
        ...{ running: true, until: null, shellUntil: null },
        keys: names.map(sshKey),
      }),
  },
];

test('what is chosen in a list stays chosen while others come and go, or nothing is', async () => {
  for (const { title, key, text, answer } of LISTS) {
    const driven = driveUp();
    seen(driven, title);
    driven.tick(100_000);
    answer(driven, ['a', 'b', 'c']);
    driven.type(DOWN);
    driven.tick(100_000);
    answer(driven, ['new', 'a', 'b', 'c']);
    driven.type(key);
    equal(text.exec(driven.text())?.[1], 'b', `${title}: ${driven.text()}`);
    driven.type('\u001b');
    driven.tick(100_000);
    answer(driven, ['new', 'a', 'c']);
    driven.type(key);
    equal(driven.model().dialog, undefined, title);
    driven.type(`${DOWN}${key}`);
    equal(text.exec(driven.text())?.[1], 'new', title);
  }
});

test('files of one recovery point are not closed in the place of those of another', async () => {
  const driven = driveUp();
  seen(driven, 'Files');
  driven.answer('files/opened', { opened: [opened('a'), opened('b'), opened('c')] });
  driven.type(DOWN.repeat(3));
  driven.tick(3000);
  driven.answer('files/opened', { opened: [opened('b'), opened('c')] });
  driven.type('x');
  const closed = () => driven.asked.filter(({ call }) => call.name === 'files/close');
  deepEqual(
    closed().map(({ call }) => call.request),
    [{ id: 'b' }],
  );
  driven.tick(3000);
  driven.answer('files/opened', { opened: [opened('c')] });
  driven.type('x');
  equal(closed().length, 1);
});

type Entry = ResultOf<'files/browse'>['entries'][number];

const directory = (path: string): Entry => ({
  ...{ path, kind: 'directory', size: 4096, mode: 0o755, uid: 0, gid: 0, modified: TIME },
  target: null,
});

test('a directory that cannot be read says so of itself, and of no other', async () => {
  const driven = driveUp();
  seen(driven, 'Files');
  driven.answer('files/opened', { opened: [opened('a')] });
  driven.type('\r');
  const root = {
    entries: [directory('bad'), directory('good')],
    total: 2,
    first: 0,
    refused: null,
  };
  driven.answer('files/browse', root);
  driven.type('\ru');
  driven.fail('files/browse', refusal('/bad is damaged'));
  ok(!driven.text().includes('damaged'), driven.text());
  driven.tick();
  driven.answer('files/browse', root);
  match(driven.text(), /bad\/.*good\//s);
  driven.type('\r');
  driven.fail('files/browse', refusal('/bad is damaged'));
  match(driven.text(), /\/bad is damaged/);
});

test('what could not be said of a job, or of a search, is not shown of another', async () => {
  const driven = driveUp();
  seen(driven, 'Jobs');
  driven.answer('job/list', { jobs: [job(), job({ job: 'b2' })], total: 2, first: 0 });
  driven.type(`\r\r${DOWN}\r`);
  driven.fail('job/show', refusal('backup-1 cannot be read'));
  ok(!driven.text().includes('backup-1'), driven.text());
  driven.tick();
  driven.answer('job/show', job({ job: 'b2' }));
  match(driven.text(), /Job b2/);

  const searching = driveUp();
  searching.type('2');
  searching.type('/web\r');
  searching.fail('backup/page', refusal('a record cannot be read'));
  ok(!searching.text().includes('cannot be read'), searching.text());
  searching.tick();
  answerPage(searching, 3);
  match(searching.text(), /of 3/);
});

test('alarms that are not known are not none', async () => {
  const driven = drive();
  driven.tick();
  driven.answer('service/show', FACTS);
  driven.answer('session/list', { sessions: [], damaged: [] });
  answerPage(driven, 3);
  ok(!driven.text().includes('alarms'), 'not known yet');
  driven.fail('alarm/list', refusal('alarms.json is damaged'));
  match(driven.text(), /! The alarms are not known: alarms\.json is damaged/);
  driven.tick(5000);
  const acknowledged = { ...alarm('a'), acknowledged: { time: TIME, uid: 0 } };
  driven.answer('alarm/list', { alarms: [acknowledged] });
  match(driven.text(), /No new alarms; 1 acknowledged/);
  driven.tick(5000);
  driven.answer('alarm/list', { alarms: [] });
  match(driven.text(), / No alarms\./);
});

test('what the service refuses to say of itself stands on the status page', async () => {
  const driven = drive();
  driven.tick();
  driven.fail('service/show', refusal('only for root and the group holdfast'));
  match(driven.text(), /only for root and the group holdfast/);
  seen(driven, 'Host');
  driven.fail('lockdown/show', refusal('the record of the lockdown is damaged'));
  match(driven.text(), /Lockdown +the record of the lockdown is damaged/);
});

test('a session is not stopped by one key because it had no clients some time ago', async () => {
  const driven = onSessions([{ ...EXPORT, clients: [] }]);
  driven.type('1');
  driven.tick(600_000);
  driven.type('3s');
  match(driven.text(), /The connected clients are not known/);
  driven.type('\u001b');
  driven.answer('export/list', { exports: [{ ...EXPORT, clients: [] }] });
  driven.type('s');
  ok(driven.asked.some(({ call }) => call.name === 'session/stop'));
});

test('what was begun on a screen that was left does not leave another one', async () => {
  const driven = driveUp();
  driven.type('2');
  answerPage(driven, 3);
  driven.type('f5');
  const ready: ResultOf<'files/open'> = { ...opened('a'), disks: [] };
  driven.answer('files/open', ready);
  match(driven.rows()[0]!, /Jobs\]/);
  driven.type('2f');
  driven.answer('files/open', ready);
  match(driven.rows()[0]!, /Files\]/);
});

test('a test of the network that failed is no success in the log either', async () => {
  const driven = driveUp();
  const network = {
    refusal: null,
    interfaces: [],
    dns: [],
    domains: [],
    pending: null,
    routes: [],
  };
  seen(driven, 'Network');
  driven.answer('network/show', network);
  driven.type('t\rt');
  const failed = { what: 'gateway 10.0.0.1', ok: false, detail: 'does not answer' };
  driven.answer('network/test', { checks: [failed] });
  const last = driven.model().log.at(-1)!;
  match(last.text, /gateway 10\.0\.0\.1: does not answer/);
  ok(last.isFailure);
});

test('what is told while something is done is not lost behind its end', async () => {
  const driven = onSessions();
  driven.type('k');
  const { id } = driven.asked.find(({ call }) => call.name === 'session/keep')!;
  const place = { where: 'packs/00/00000001.pack', what: 'block 7 is missing' };
  const notice = { event: 'notice', message: `DAMAGED ${place.where}: ${place.what}` } as const;
  driven.send({ kind: 'report', id, event: notice });
  driven.answer('session/keep', { session: 'web-1a2b3c', damage: [place], point: 'web-2' });
  const [told, end] = driven.model().log;
  match(told!.text, /DAMAGED .* block 7 is missing/);
  match(end!.text, /kept as web-2, but the store is damaged: .* block 7/);
  ok(end!.isFailure);
});

test('keys that a screen names are those that it has', async () => {
  const driven = driveUp();
  seen(driven, 'Host');
  driven.answer('host/show', {
    ...{ hostname: 'box', timezone: 'UTC', ntp: [], keyboard: null, isFirstBoot: false },
    ...{ system: 'Debian 13', kernel: '6.12', isSynchronized: false, hasPassword: true },
  });
  const [, again, off] = /(\w) reboots the host, (\w) powers it off/.exec(driven.text())!;
  driven.type(again!);
  match(driven.text(), /Reboot the host/);
  driven.type(`\u001b${off}`);
  match(driven.text(), /Power the host off/);
});

test('nothing that is damaged in one service is shown of the next', async () => {
  const driven = onSessions();
  driven.tick(3000);
  const damaged = [{ path: '/s', reason: 'web-2 cannot be read' }];
  driven.answer('session/list', { sessions: [session()], damaged });
  match(driven.text(), /web-2 cannot be read/);
  driven.tick(3000);
  driven.fail('session/list', GONE);
  driven.answer('service/show', FACTS);
  driven.fail('session/list', refusal('not now'));
  ok(!driven.text().includes('web-2'), driven.text());
});
