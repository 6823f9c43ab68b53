import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import {
  answerPage,
  EXPORT,
  drive,
  driveUp,
  FACTS,
  GONE,
  job,
  onSessions,
  pointAt,
  refusal,
  session,
  TIME,
} from '../../support/console.ts';

const READY = {
  event: 'ready',
  session: 'web-1a2b3c',
  point: 'p',
  qemu: '-drive x',
  libvirt: '<disk/>',
  exports: [{ disk: 'vda', size: 1, uri: 'nbd+unix:///vda?socket=/x' }],
} as const;

const many = 100_000;

function browsing() {
  const driven = driveUp();
  driven.type('2');
  answerPage(driven, many);
  return driven;
}

test('what only looks is asked once at a time, however long the answer takes', async () => {
  const driven = drive();
  for (let n = 0; n < 50; n++) driven.tick();
  equal(driven.asked.length, 1);
  driven.answer('service/show', FACTS);
  for (let n = 0; n < 50; n++) driven.tick();
  deepEqual(driven.asked.map(({ call }) => call.name).sort(), [
    ...[
      'alarm/list',
      'backup/page',
      'job/list',
      'service/follow',
      'service/show',
      'service/throughput',
    ],
    ...['session/list', 'store/usage'],
  ]);
});

test('a slow service is shown as such, and keys keep working', async () => {
  const driven = driveUp();
  for (let n = 0; n < 9; n++) driven.tick();
  match(driven.text(), /has not answered for [67] s: this screen shows older data/);
  driven.type('3\u001b[B8');
  equal(driven.model().screen, 'log');
  driven.answer('service/show', FACTS);
  driven.answer('session/list', { sessions: [], damaged: [] });
  driven.answer('job/list', { jobs: [], total: 0, first: 0 });
  driven.fail('service/throughput', refusal('not now'));
  driven.answer('alarm/list', { alarms: [] });
  match(driven.text(), /The service runs/);
});

test('a service that is gone leaves nothing that looks like the truth', async () => {
  const driven = driveUp();
  match(driven.text(), /web-1a2b3c/);
  driven.tick(3000);
  driven.fail('service/show', GONE);
  for (const screen of ['1', '2', '3', '4']) {
    driven.type(screen);
    const text = driven.text();
    match(text, /does not answer.*systemctl status holdfastd/s);
    match(text, /connection refused/);
    match(text, /192\.0\.2\.7/);
    ok(!/web-1a2b3c|No sessions|No backup sets| of 3/.test(text), text);
  }
  driven.type('1');
  driven.answer('service/show', FACTS);
  driven.answer('session/list', { sessions: [session()], damaged: [] });
  match(driven.text(), /The service runs.*web-1a2b3c/s);
});

test('what the service refuses is shown instead of an empty list', async () => {
  const driven = driveUp();
  driven.type('4');
  driven.fail('set/list', refusal('/x is no store: see "holdfast store create"'));
  match(driven.text(), /is no store/);
  ok(!driven.text().includes('No backup sets'));
});

test('100,000 recovery points: only what is visible is requested', async () => {
  const driven = browsing();
  match(driven.text(), /1 of 100000/);
  match(driven.rows()[3]!, /^>.* web0 /);
  for (let n = 0; n < 300; n++) {
    driven.type('\u001b[B');
    if (driven.asked.some(({ call }) => call.name === 'backup/page')) answerPage(driven, many);
    ok(!driven.text().includes('\n ...'), `row ${n}`);
  }
  match(driven.text(), /301 of 100000/);
  ok(driven.text().includes(' web300 '));
  driven.type('\u001b[F');
  match(driven.text(), /\n ?>?\.\.\./, 'not known yet, and said so');
  answerPage(driven, many);
  match(driven.text(), /100000 of 100000/);
  ok(driven.text().includes(' web99999 '));
  ok(driven.model().points.rows.length <= 300);
  driven.type('\u001b[H');
  answerPage(driven, many);
  match(driven.rows()[3]!, /^>.* web0 /);
});

test('keys that come faster than answers end where they should', async () => {
  const driven = browsing();
  for (let n = 0; n < 1000; n++) driven.type('\u001b[6~');
  equal(driven.asked.filter(({ call }) => call.name === 'backup/page').length, 1);
  while (driven.asked.some(({ call }) => call.name === 'backup/page')) answerPage(driven, many);
  const { points } = driven.model();
  equal(points.chosen, 17 * 1000);
  ok(driven.text().includes(` web${points.chosen} `));
});

test('who has chosen a recovery point keeps it when newer ones come', async () => {
  const driven = browsing();
  for (let n = 0; n < 5; n++) driven.type('\u001b[B');
  driven.tick(20_000);
  answerPage(driven, many + 2, 2);
  equal(driven.model().points.chosen, 7);
  match(driven.text(), /\n>.* web5 /);
});

test('a search sends a new request, and Escape shows all again', async () => {
  const driven = browsing();
  driven.type('/db\r');
  const { call } = driven.asked.find((it) => it.call.name === 'backup/page')!;
  equal((call.request as { contains: string }).contains, 'db');
  driven.answer('backup/page', { points: [], damaged: [], total: 0, first: 0 });
  match(driven.text(), /0 of 0, with "db"/);
  driven.type('\r');
  match(driven.text(), /No recovery point is chosen/);
  driven.type('\u001b');
  equal(driven.model().points.filter, '');
});

test('a recovery point is run with its options', async () => {
  const driven = browsing();
  driven.type('\u001b[B\r');
  match(driven.text(), /Recover nightly\/web-20261121T180000Z-000001/);
  const down = '\u001b[B';
  driven.type(`tcp:0:10809${down}${down} ${down}10.0.0.0/24, 10.1.0.0/16${down}${down} `);
  driven.type(`${down} ${down} \r`);
  const ask = driven.asked.find(({ call }) => call.name === 'session/start')!;
  const request = ask.call.request as Record<string, unknown>;
  deepEqual(
    [request['point'], request['listen'], request['whenFull']],
    [`nightly/${pointAt(1).point}`, 'tcp:0:10809', 'refuse'],
  );
  const { allow, squash, points } = request['nfs'] as Record<string, unknown>;
  deepEqual([allow, squash, points], [['10.0.0.0/24', '10.1.0.0/16'], 'none', true]);
  const message = '3 MiB of the last boot are in memory';
  driven.send({ kind: 'report', id: ask.id, event: { event: 'notice', message } });
  match(driven.text(), /recover nightly\/web-\S+: 3 MiB of the last boot/);
  driven.answer('session/start', READY);
  match(driven.text(), /Session web-1a2b3c runs.*nbd\+unix/s);
  equal(driven.model().screen, 'sessions');
  driven.type('\r8');
  match(driven.text(), /session web-1a2b3c runs/);
});

test('what goes with NFS or TLS is asked only with it; TLS without its files is not begun', async () => {
  const driven = browsing();
  driven.type('\r');
  ok(!/NFS networks|TLS files/.test(driven.text()));
  driven.type('\u001b[B \r');
  match(driven.text(), /TLS files.*TLS files is missing/s);
  driven.type('\u001b[B/etc/tls\r');
  const ask = driven.asked.find(({ call }) => call.name === 'session/start')!;
  const { tls, nfs } = ask.call.request as Record<string, unknown>;
  deepEqual([tls, nfs], [{ kind: 'x509', directory: '/etc/tls' }, undefined]);
  driven.fail('session/start', refusal('/etc/tls/server-cert.pem is not there'));
  match(driven.text(), /\[ \/etc\/tls_? \].*server-cert\.pem is not there/s);
});

test('a passphrase is asked for where the service has none, and is seen nowhere', async () => {
  const driven = browsing();
  driven.type('\r\r');
  driven.fail('session/start', refusal('the service has no passphrase', 'nightly'));
  driven.type('corréct hors\u{1f600}\u007fe');
  match(driven.text(), /set "nightly" is encrypted.*> \*{13}_/s);
  driven.type('\r');
  const { secret } = driven.asked.find(({ call }) => call.name === 'session/start')!;
  const base64 = Buffer.from('corréct horse').toString('base64');
  deepEqual(secret, { kind: 'passphrase', base64 });
  driven.answer('session/start', READY);
  ok(!JSON.stringify(driven.model()).includes(base64));
});

test('discard wants its word, and nothing else does', async () => {
  const driven = onSessions();
  const isAsked = (): boolean => driven.asked.some(({ call }) => call.name === 'session/discard');
  driven.type('d\rdiscar\r');
  match(driven.text(), /Type discard/);
  driven.type('\u001b');
  ok(!driven.model().dialog && !isAsked());
  driven.type('ddiscard\r');
  ok(isAsked());
  driven.fail('session/discard', refusal('stop that first'));
  match(driven.text(), /Failed: discard web-1a2b3c.*stop that first/s);
});

test('who has chosen a session keeps it whatever the list does, and has none when it is gone', async () => {
  const driven = onSessions();
  const list = (...names: string[]): void => {
    driven.answer('session/list', {
      sessions: names.map((it) => session({ session: it })),
      damaged: [],
    });
    driven.answer('export/list', { exports: [] });
  };
  const stopped = (): string[] =>
    driven.asked
      .filter(({ call }) => call.name === 'session/stop')
      .map(({ call }) => (call.request as { session: string }).session);
  driven.tick(20_000);
  list('a', 'b', 'c');
  driven.type('\u001b[B\u001b[B');
  driven.tick(20_000);
  list('new', 'a', 'b', 'c');
  match(driven.text(), /\n>b /);
  driven.type('s');
  driven.tick(20_000);
  list('new', 'a', 'c');
  ok(!/\n>/.test(driven.text()), driven.text());
  driven.send({ kind: 'resize', size: { columns: 100, rows: 30 } });
  driven.type('srkd\r');
  match(driven.text(), /No session is chosen/);
  ok(!driven.model().dialog);
  deepEqual(stopped(), ['b']);
  driven.type('\u001b[Bs');
  deepEqual(stopped(), ['b', 'new']);
  for (const after of [
    ['other', 'x', 'new'],
    ['other', 'x'],
  ]) {
    driven.tick(20_000);
    driven.fail('session/list', GONE);
    driven.answer('service/show', FACTS);
    list(...after);
    driven.type('s');
  }
  deepEqual(stopped(), ['b', 'new', 'new']);
});

test('stop, resume and keep are asked as they are pressed; progress is seen', async () => {
  const driven = onSessions();
  driven.type('srk');
  for (const name of ['session/stop', 'session/resume', 'session/keep'] as const) {
    const ask = driven.asked.find(({ call }) => call.name === name)!;
    equal((ask.call.request as { session: string }).session, 'web-1a2b3c');
  }
  const { id } = driven.asked.find(({ call }) => call.name === 'session/keep')!;
  const event = { event: 'progress', phase: 'keep vda', position: 512, total: 1024 } as const;
  driven.send({ kind: 'report', id, event });
  match(driven.text(), /keep web-1a2b3c: keep vda 50 % .*\(and 2 more\)/);
  driven.answer('session/keep', { session: 'web-1a2b3c', damage: [], point: 'web-2' });
  driven.fail('session/stop', GONE);
  match(driven.text(), /Failed: stop.*once it is back,\s+check whether this was done/s);
});

test('a session is seen with what goes through it, what is done with it, and its log', async () => {
  const driven = onSessions('unknown');
  driven.type('k\r');
  const { id } = driven.asked.find(({ call }) => call.name === 'session/keep')!;
  driven.answer('session/show', { ...session(), placed: null, attach: null, overlay: null });
  const lines = [{ time: TIME, message: 'no space is left: guests wait until there is some' }];
  driven.answer('session/log', { session: 'web-1a2b3c', lines });
  const other = { ...EXPORT, session: 'other', clients: [] };
  driven.answer('export/list', { exports: [EXPORT, other] });
  const event = { event: 'progress', phase: 'keep vda', position: 512, total: 1024 } as const;
  driven.send({ kind: 'report', id, event });
  match(driven.text(), /Clients +1; 4\.00 KiB read, 1\.00 KiB written/);
  match(driven.text(), /Under way +keep web-1a2b3c keep vda 50 %/);
  match(driven.text(), /followed:\n 2026-11-21 18:00:00 {2}no space is left/);
  driven.tick();
  const { call } = driven.asked.find((it) => it.call.name === 'session/log')!;
  deepEqual(call.request, { session: 'web-1a2b3c', first: 1 });
  driven.type('\u001b7');
  match(
    driven.text(),
    /^>web-1a2b3c +1 +4\.00 KiB.*Connected to nbd:\/\/x\/vda:\n 10\.0\.0\.5 .*2\.00 KiB read/ms,
  );
});

test('a session whose machine is on a hypervisor is seen with its power, and how far its disks are', async () => {
  const driven = onSessions('unknown');
  driven.type('\r');
  const disk = { disk: 'vda', place: 'ours', done: 512, total: 1024, rate: 2048 } as const;
  const placed = {
    ...{ hypervisor: 'kvm1', machine: 'web1', id: 'uuid', goal: 'move' as const, run: null },
    ...{ power: 'on' as const, heartbeat: true, pool: 'fast', disks: [disk], waits: null },
    writes: 'here' as const,
  };
  driven.answer('session/show', { ...session(), placed, attach: null, overlay: null });
  match(driven.text(), /There +web1 on kvm1: on, its agent answers/);
  match(driven.text(), /Disk +vda served from here, 50 % copied, 2\.00 KiB\/s/);
});

test('a list of sessions says what is being done with each, from here or by a job', async () => {
  const driven = onSessions();
  const request = { session: 'web-1a2b3c' };
  const keep = job({
    kind: 'keep',
    request,
    progress: { phase: 'keep vda', position: 1, total: 4 },
  });
  driven.tick(5000);
  driven.answer('job/list', { jobs: [keep], total: 1, first: 0 });
  match(driven.text(), /^>web-1a2b3c .* keep vda 25 % of/m);
});

test('a session is kept as a job, so that no person has to wait', async () => {
  const driven = onSessions();
  driven.type('b');
  const { call } = driven.asked.find((it) => it.call.name === 'job/create')!;
  deepEqual(call.request, {
    kind: 'keep',
    request: { session: 'web-1a2b3c', stop: undefined },
  });
});

test('typing is not interrupted by jobs that end in the meantime', async () => {
  const driven = onSessions();
  driven.type('sddisc');
  driven.fail('session/stop', refusal('no'));
  driven.type('ard\r');
  ok(driven.asked.some(({ call }) => call.name === 'session/discard'));
  match(driven.text(), /stop web-1a2b3c: no/);
});

test('Ctrl-C held down does nothing but say so; q leaves, and asks if work is under way', async () => {
  const driven = onSessions();
  driven.type('\u0003'.repeat(1000));
  match(driven.text(), /Ctrl-C does nothing here/);
  deepEqual(
    driven.effects.filter(({ kind }) => kind === 'leave'),
    [],
  );
  driven.type('kq');
  match(driven.text(), /still under way/);
  driven.type('x\r');
  ok(driven.model().dialog);
  driven.type('y');
  deepEqual(driven.effects.at(-1), { kind: 'leave' });
});

test('on a line of the machine itself it is left with l for a login, and with nothing else', async () => {
  const driven = drive(undefined, { key: 'l', word: 'log in' });
  driven.tick();
  match(driven.text(), /l log in/);
  driven.type('q\u0003');
  match(driven.text(), /Press l to log in/);
  deepEqual(
    driven.effects.filter(({ kind }) => kind === 'leave'),
    [],
  );
  driven.type('l');
  deepEqual(driven.effects.at(-1), { kind: 'leave' });
});

test('a terminal that is too small can be left', async () => {
  const driven = onSessions();
  driven.send({ kind: 'resize', size: { columns: 60, rows: 20 } });
  for (const key of [
    { kind: 'text', text: 'q' },
    { kind: 'named', name: 'interrupt' },
  ] as const) {
    const before = driven.effects.length;
    driven.send({ kind: 'key', key });
    deepEqual(driven.effects.slice(before), [{ kind: 'leave' }]);
  }
});

test('no key does anything that cannot be seen', async () => {
  const driven = onSessions();
  driven.send({ kind: 'resize', size: { columns: 79, rows: 24 } });
  match(driven.text(), /79x24 characters: Holdfast needs 80x24/);
  driven.type('s');
  ok(!driven.asked.some(({ call }) => call.name === 'session/stop'));
  driven.send({ kind: 'resize', size: { columns: 80, rows: 24 } });
  match(driven.text(), /web-1a2b3c/);
});
