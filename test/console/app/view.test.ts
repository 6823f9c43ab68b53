import type { AlarmSummary } from '../../../src/operations/nouns/alarm.ts';
import { equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { PAGES } from '../../../src/console/app/pages.ts';
import { answerPage, drive, driveUp, FACTS, GONE, session, TIME } from '../../support/console.ts';
import { SCREENS } from '../../../src/console/state/model.ts';

test('the status page says how it is at a glance', async () => {
  const text = driveUp().text();
  for (const part of [
    /^\[1 Status\].*\n The service runs\. .* box\n/,
    /Host +box {2}192\.0\.2\.7/,
    /Store +\/srv\/store/,
    /\[#{15}\.{5}\] 75 % full, 1\.00 TiB free of 4\.00 TiB/,
    /Forecast +full in 12 days, at 2\.00 GiB a day as in recent days/,
    /Saving +4\.0 : 1 \(4\.00 GiB read, 1\.00 GiB stored; newest 3 points\)/,
    /Reads +\[ +\.:#\] 8\.00 MiB\/s, most 8\.00 MiB\/s$/m,
    /Backups +\[ +\] 0 B\/s/,
    /Jobs: 1 running, 2 waiting\n backup of web to nightly +running +backup 25 % of 1\.00 KiB/,
    /No alarms/,
    /Sessions: 1 running, 0 not/,
    /Last recovery points \(3 in all\)/,
  ]) {
    match(text, part);
  }
});

test('a graph shows all of the time that was asked for', async () => {
  const driven = driveUp();
  driven.tick(10_000);
  const { call } = driven.asked.find((it) => it.call.name === 'service/throughput')!;
  const parts = (call.request as { points: number }).points;
  const rates = (readBytes: number) => ({ readBytes, writtenBytes: 0, ingestBytes: 0 });
  const points = Array.from({ length: parts }, (_, at) => rates(at === 0 ? 2 ** 20 : 0));
  driven.answer('service/throughput', { now: rates(0), points, seconds: 3600 / parts });
  match(driven.text(), /Reads +\[# +\] 0 B\/s, most 1\.00 MiB\/s$/m);
});

test('alarms are what the protocol tells of', async () => {
  const driven = drive();
  driven.tick();
  const space = { freeBytes: 2 ** 30, totalBytes: 2 ** 40 };
  driven.answer('service/show', { ...FACTS, space });
  const lost = [{ path: '/s', reason: 'web-2 cannot be read' }];
  const waits = 'no passphrase of "n"';
  driven.answer('session/list', { sessions: [session({ waits })], damaged: lost });
  ok(!driven.text().includes('No alarms'));
  const damaged = [{ path: '/p', reason: 'its checksum is wrong' }];
  driven.answer('backup/page', { points: [], damaged, total: 1, first: 0 });
  match(driven.text(), /! The store's disk is almost full/);
  match(driven.text(), /! Session web-1a2b3c cannot continue: no passphrase/);
  match(driven.text(), /! Damaged: its checksum is wrong/);
  match(driven.text(), /! Damaged: web-2 cannot be read/);
});

test('unacknowledged alarms stand on the status page', async () => {
  const driven = driveUp();
  driven.tick(5000);
  const alarm: AlarmSummary = {
    ...{ alarm: 'pool-fill', kind: 'pool-fill', level: 'critical', about: null, times: 1 },
    ...{ message: 'the pool is 96 % full', raised: TIME, changed: TIME },
    ...{ acknowledged: null, ended: null },
  };
  const known = { ...alarm, message: 'seen already', acknowledged: { time: TIME, uid: 0 } };
  driven.answer('alarm/list', { alarms: [alarm, known] });
  match(driven.text(), /! CRITICAL: the pool is 96 % full/);
  ok(!/seen already|No alarms/.test(driven.text()));
});

test('every screen and dialog fits 80x24 to the row, with its keys at the bottom', async () => {
  const driven = driveUp();
  const check = (): void => {
    const rows = driven.rows();
    equal(rows.length, 24);
    ok(rows.every(({ length }) => length <= 79));
    match(rows[23]!, /leave|Esc|Enter/);
    ok(!rows[23]!.endsWith('~'), rows[23]);
    ok(!rows[0]!.includes('~'), rows[0]);
  };
  const long = 'x'.repeat(200);
  for (const screen of ['1', '2', '3', '4', '5', '6', '7', '8']) {
    driven.type(screen);
    check();
    if (screen === '2') answerPage(driven, 1000);
    if (screen === '3') {
      driven.tick(5000);
      const sessions = Array.from({ length: 50 }, () => session({ session: long, waits: long }));
      driven.answer('session/list', { sessions, damaged: [] });
    }
    check();
    for (const key of ['\r', 'd', '/', 'n', 'b', 's']) {
      driven.type(key);
      check();
      driven.type('\u001b');
    }
  }
  driven.tick(60_000);
  driven.fail('service/show', GONE);
  driven.type('1');
  check();
});

test('nothing from outside reaches a row as anything but plain characters', async () => {
  const driven = driveUp();
  driven.tick(5000);
  const bad = 'a\u001b[2Jb\u0007\u202e漢';
  const waits = `${bad}${bad}`;
  driven.answer('service/show', {
    ...{ ...FACTS, store: bad },
    host: { name: bad, addresses: [bad] },
  });
  driven.answer('session/list', {
    sessions: [session({ session: bad, machine: bad, waits })],
    damaged: [],
  });
  for (const key of ['1', '3', '3\r', '3d']) {
    driven.type(`\u001b${key}`);
    ok(!/[^\u0020-\u007e]/.test(driven.rows().join('')), driven.text());
  }
});

test('the screen that is seen stands among the others, however many there are', async () => {
  const driven = driveUp();
  for (const screen of SCREENS) {
    equal(driven.model().screen, screen);
    const head = driven.rows()[0]!;
    ok(head.includes(`${PAGES[screen].title}]`), head);
    driven.type('\t');
  }
  equal(driven.model().screen, SCREENS[0]);
});
