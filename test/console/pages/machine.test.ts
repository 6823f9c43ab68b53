import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { ResultOf } from '../../../src/operations/operations.ts';
import { type Driven, drive, driveUp, FACTS, GONE, refusal, TIME } from '../../support/console.ts';

const WIRE: ResultOf<'network/show'>['interfaces'][number] = {
  ...{ name: 'eth0', kind: 'wired', mac: '52:54:00:00:00:01', mtu: 1500, up: true, carrier: true },
  ...{ partOf: null, managedBy: 'networkd', planned: null },
  addresses: [{ address: '10.0.0.5/24', from: 'fixed' }],
};
const NETWORK: ResultOf<'network/show'> = {
  ...{ refusal: null, interfaces: [WIRE], dns: ['10.0.0.2'], domains: [], pending: null },
  routes: [{ to: 'default', via: '10.0.0.1', on: 'eth0' }],
};
const PENDING = { ...NETWORK, pending: { what: 'the change of eth0', secondsLeft: 60 } };
const MACHINE: ResultOf<'host/show'> = {
  ...{ hostname: 'holdfast', timezone: 'Etc/UTC', ntp: [], keyboard: null, isFirstBoot: true },
  ...{ system: 'Debian 13', kernel: '6.12', isSynchronized: false, hasPassword: false },
};
const DISK: ResultOf<'disk/list'>['disks'][number] = {
  ...{ name: 'sdb', model: 'Big One', serial: 'S2', size: 8e12, bus: 'sata', spins: true },
  ...{ holds: [], inUse: false, health: { state: 'good', detail: 'SMART passed, 31 C' } },
};
const SSH: ResultOf<'ssh/show'> = { running: false, until: null, shellUntil: null, keys: [] };
const RECOVERY_KEY = '1A2B-3C4D-5E6F-7890';

/** The page of that title is seen. */
function seen(driven: Driven, title: string): void {
  for (let tries = 0; tries < 20 && !driven.rows()[0]!.includes(`${title}]`); tries++) {
    driven.type('\t');
  }
  ok(driven.rows()[0]!.includes(`${title}]`), driven.rows()[0]);
}

/** What was asked, beside looks. */
function taken(driven: Driven) {
  const { id } = driven.model().tasks.at(-1)!;
  return driven.asked.find((it) => it.id === id)!;
}

test('a change of the network counts down, and is kept or undone by one key', async () => {
  const driven = driveUp();
  seen(driven, 'Network');
  driven.answer('network/show', NETWORK);
  match(driven.text(), />eth0 +up +networkd +10\.0\.0\.5\/24/);
  match(driven.text(), /route default via 10\.0\.0\.1 on eth0/);
  driven.type('c');
  match(driven.text(), /No change waits/);
  driven.type('\r');
  // What is there is where one begins.
  match(driven.text(), /Addresses +\[ < fixed > \]/);
  match(driven.text(), /Address +\[ 10\.0\.0\.5\/24 \]/);
  driven.type('\u001b[B\b\b\b\b6/24\u001b[B10.0.0.1\r');
  deepEqual(taken(driven).call, {
    name: 'network/change',
    request: {
      ...{ name: 'eth0', kind: { kind: 'wired' }, dhcp: false, addresses: ['10.0.0.6/24'] },
      ...{ gateways: ['10.0.0.1'], dns: [], domains: [], seconds: 60 },
    },
  });
  driven.answer('network/change', PENDING.pending);
  driven.answer('network/show', PENDING);
  match(driven.text(), /the change of eth0 is in force, and ROLLED BACK IN 60 s/);
  driven.tick(1000);
  match(driven.text(), /ROLLED BACK IN 59 s/);
  driven.type('\r');
  match(driven.text(), /First press c to keep the last change/);
  driven.type('c');
  equal(taken(driven).call.name, 'network/confirm');
});

test('fixed addresses beside DHCP stay where something else of the interface is changed', async () => {
  const driven = driveUp();
  seen(driven, 'Network');
  const planned: typeof WIRE.planned = {
    ...{ name: 'eth0', kind: { kind: 'wired' }, dhcp: true, addresses: ['10.0.0.9/24'] },
    ...{ gateways: [], dns: [], domains: [] },
  };
  driven.answer('network/show', { ...NETWORK, interfaces: [{ ...WIRE, planned }] });
  driven.type('\r');
  match(driven.text(), /Addresses +\[ < DHCP and fixed > \]/);
  driven.type('\u001b[B\u001b[B10.0.0.2\r');
  const { request } = taken(driven).call as { request: Record<string, unknown> };
  const { addresses, dhcp, dns, gateways } = request;
  deepEqual([addresses, dhcp, dns, gateways], [['10.0.0.9/24'], true, ['10.0.0.2'], []]);
});

test('an interface is removed by its word', async () => {
  const driven = driveUp();
  seen(driven, 'Network');
  driven.answer('network/show', NETWORK);
  driven.type('d\r');
  match(driven.text(), /Type remove, or press Esc/);
  driven.type('remove\r');
  equal(taken(driven).call.name, 'network/remove');
});

test('what was refused is told in the form, with what was typed', async () => {
  const driven = driveUp();
  seen(driven, 'Network');
  driven.answer('network/show', NETWORK);
  driven.type('v5\r');
  equal(taken(driven).call.name, 'network/change');
  driven.fail('network/change', refusal('set up eth0 first'));
  match(driven.text(), /A VLAN on eth0\n.*VLAN +\[ 5_? \].*set up eth0 first/s);
});

test('a machine goes down for a reason only, and becomes as it came by its typed name', async () => {
  const driven = driveUp();
  seen(driven, 'Host');
  driven.answer('host/show', MACHINE);
  driven.type('B\r');
  match(driven.text(), /Reason is missing/);
  driven.type('new kernel\r');
  deepEqual(taken(driven).call.request, { reason: 'new kernel' });
  driven.answer('host/reboot', { reason: 'new kernel' });
  driven.type('Fyes\r');
  match(driven.text(), /Type holdfast, or press Esc/);
  driven.type('\b\b\bholdfast\r');
  equal(taken(driven).call.name, 'host/factory-reset');
});

test('a lockdown begins by its word, says who agreed to its end, and ends by agreement', async () => {
  const driven = driveUp();
  seen(driven, 'Host');
  const off = { on: false, since: null, uid: null, persons: 2, approvals: [] };
  driven.answer('host/show', MACHINE);
  driven.answer('lockdown/show', off);
  match(driven.text(), /Lockdown +off/);
  driven.type('Llockdown\r');
  equal(taken(driven).call.name, 'lockdown/on');
  const on = { ...off, on: true, since: TIME, uid: 0, approvals: [{ uid: 0, time: TIME }] };
  driven.answer('lockdown/on', on);
  driven.answer('lockdown/show', on);
  match(driven.text(), /LOCKDOWN since 2026-11-21 18:00 UTC.*1 of 2 agreed/);
  driven.type('L');
  match(driven.text(), /2 people have to agree to end it; 1 agreed so far/);
  driven.type('agree\r');
  equal(taken(driven).call.name, 'lockdown/off');
});

test('a disk with something on it is erased for its typed serial number, one in use never', async () => {
  const driven = driveUp();
  seen(driven, 'Disks');
  const used = { ...DISK, name: 'sda', inUse: true, holds: ['ext4 on sda1 at /'] };
  const old = { ...DISK, name: 'sdc', serial: 'S3', holds: ['ext4 "films" on sdc'] };
  driven.answer('disk/list', { disks: [used, DISK, old] });
  match(driven.text(), /health: SMART passed, 31 C/);
  driven.type('\r');
  match(driven.text(), /sda is in use/);
  driven.type('\u001b[B\u001b[B\r\r');
  match(driven.text(), /Type S3, or press Esc/);
  driven.type('\u001b[BS3\r');
  const request = { disk: 'sdc', fileSystem: 'xfs', erase: 'S3' };
  deepEqual(taken(driven).call, { name: 'pool/create', request });
});

test('logins over SSH are allowed for a time, and a key goes by a typed word', async () => {
  const driven = driveUp();
  seen(driven, 'SSH');
  const keys = [
    { user: 'admin', fingerprint: 'SHA256:x', type: 'ED25519', comment: 'ann' },
  ] as const;
  driven.answer('ssh/show', { ...SSH, keys });
  driven.type('o\r');
  deepEqual(taken(driven).call, { name: 'ssh/on', request: { seconds: 14_400 } });
  driven.answer('ssh/on', { ...SSH, running: true, until: '2026-11-22T01:00:00.000Z', keys });
  driven.answer('ssh/show', { ...SSH, running: true, until: '2026-11-22T01:00:00.000Z', keys });
  match(driven.text(), /SSH +on until 2026-11-22 01:00 UTC/);
  driven.type('dremove\r');
  deepEqual(taken(driven).call.request, { user: 'admin', fingerprint: 'SHA256:x' });
  driven.type('xoff');
  ok(!driven.asked.some(({ call }) => call.name === 'ssh/off'), 'one key shuts no user out');
  driven.type('\r');
  equal(taken(driven).call.name, 'ssh/off');
});

/** The console of a machine that was not set up. */
function fresh(): Driven {
  const driven = drive({ columns: 80, rows: 24 }, { key: 'l', word: 'log in' });
  driven.tick();
  driven.answer('service/show', { ...FACTS, storeId: null, space: null });
  driven.answer('host/show', MACHINE);
  driven.answer('network/show', { ...NETWORK, interfaces: [{ ...WIRE, addresses: [] }] });
  driven.answer('ssh/show', SSH);
  driven.answer('disk/list', { disks: [DISK] });
  driven.fail('set/list', refusal('/srv/store is no store'));
  return driven;
}

test('a new machine begins with its set-up; a step that was done leads to the next', async () => {
  const driven = fresh();
  match(driven.text(), /Set-up of this host: 0 of 11 steps are done/);
  match(driven.text(), /^>- +Name +holdfast$/m);
  driven.type('\r');
  driven.type(`${'\b'.repeat(8)}box1\r`);
  const { call } = taken(driven);
  const none = { timezone: undefined, ntp: undefined, keyboard: undefined };
  deepEqual(call, { name: 'host/set', request: { hostname: 'box1', ...none } });
  driven.answer('host/set', { ...MACHINE, hostname: 'box1' });
  driven.answer('host/show', { ...MACHINE, hostname: 'box1' });
  match(driven.text(), /1 of 11 steps are done/);
  match(driven.text(), /^ done +Name +box1$/m);
  match(driven.text(), /^>- +Network +no address$/m);
  // Left out.
  driven.type('\u001b[B\u001b[B\u001b[B\u001b[B');
  match(driven.text(), /^>- +Administrator +has no password$/m);
});

test('a set-up is seen first also where the service comes late, but for who looks elsewhere', async () => {
  for (const [keys, screen] of [
    ['', 'setUp'],
    ['3', 'sessions'],
  ] as const) {
    const driven = drive();
    driven.tick();
    driven.fail('service/show', GONE);
    driven.type(keys);
    driven.tick(5000);
    driven.answer('service/show', { ...FACTS, storeId: null, space: null });
    equal(driven.model().screen, screen);
    // Once: it can be left out.
    driven.type('1');
    driven.tick(5000);
    driven.answer('service/show', { ...FACTS, storeId: null, space: null });
    equal(driven.model().screen, 'status');
  }
});

test('a password is typed twice and never seen', async () => {
  const driven = fresh();
  driven.type('\u001b[B'.repeat(5));
  driven.type('\rshort\r');
  match(driven.text(), /at least 10 characters/);
  driven.type('correct horse\rcorrect house\r');
  match(driven.text(), /The two are not the same/);
  driven.type('correct horse\r');
  match(driven.text(), /Type it again/);
  ok(!driven.text().includes('correct'));
  driven.type('correct horse\r');
  const { call, secret } = taken(driven);
  deepEqual(call, { name: 'host/password', request: {} });
  equal(Buffer.from((secret as { base64: string }).base64, 'base64').toString(), 'correct horse');
});

test('a recovery key is not left before its end was typed from paper', async () => {
  const driven = fresh();
  driven.type('\u001b[B'.repeat(9));
  driven.type('\r\r');
  match(driven.text(), /The passphrase of "nightly"/);
  driven.type('correct horse\rcorrect horse\r');
  equal(taken(driven).call.name, 'set/create');
  const set = { set: 'nightly', created: '2026-11-21T18:00:00.000Z', encrypted: true };
  driven.answer('set/create', { ...set, recoveryKey: RECOVERY_KEY });
  match(driven.text(), /1A2B-3C4D-5E6F-7890/);
  driven.type('\u001b');
  match(driven.text(), /1A2B.*it is shown only once/s);
  driven.type('\r');
  ok(!driven.text().includes('1A2B'), 'it has to be on paper');
  driven.type('5E6F\r');
  match(driven.text(), /not the last group/);
  driven.type('\u001b');
  match(driven.text(), /1A2B/);
  driven.type('\r7890\r');
  match(driven.text(), /The recovery key of "nightly" is confirmed/);
  equal(driven.model().dialog, undefined);
});

test('a terminal that was made too small does not lose a recovery key by the key that leaves', async () => {
  const driven = fresh();
  const isLeft = (): boolean => driven.effects.some(({ kind }) => kind === 'leave');
  driven.type('\u001b[B'.repeat(9));
  setMade(driven, '');
  setAnswered(driven, 'nightly', RECOVERY_KEY);
  driven.send({ kind: 'resize', size: { columns: 60, rows: 20 } });
  match(
    driven.text().replaceAll('\n', ' '),
    /A recovery key waits.*: Ctrl-C leaves, and the key is lost/,
  );
  driven.type(driven.model().leaving.key);
  equal(isLeft(), false);
  driven.send({ kind: 'resize', size: { columns: 80, rows: 24 } });
  match(driven.text(), /1A2B-3C4D-5E6F-7890/);
  driven.send({ kind: 'resize', size: { columns: 60, rows: 20 } });
  driven.type('\u0003');
  ok(isLeft());
});

/** Up to its second passphrase; `name`: its last letters, behind "nightly". */
function setMade(driven: Driven, name: string): void {
  driven.type('\r');
  driven.type(`${name}\r`);
  driven.type('correct horse\rcorrect horse\r');
}

function setAnswered(driven: Driven, set: string, recoveryKey: string): void {
  const created = '2026-11-21T18:00:00.000Z';
  driven.answer('set/create', { set, created, encrypted: true, recoveryKey });
}

test('no recovery key takes the place of another that is not confirmed', async () => {
  const driven = fresh();
  driven.type('\u001b[B'.repeat(9));
  for (const name of ['', '2', '3']) setMade(driven, name);
  setAnswered(driven, 'nightly', RECOVERY_KEY);
  driven.type('\r78');
  setAnswered(driven, 'nightly2', '2222-2222');
  setAnswered(driven, 'nightly3', '3333-3333');
  driven.type('90\r');
  match(driven.text(), /The recovery key of "nightly2".*2222-2222/s);
  match(driven.text(), /The recovery key of "nightly" is confirmed/);
  driven.type('\r2222\r');
  match(driven.text(), /The recovery key of "nightly3".*3333-3333/s);
  driven.type('\r3333\r');
  equal(driven.model().dialog, undefined);
});

test('the end of the set-up waits for recovery keys, and begins nothing more', async () => {
  const driven = fresh();
  const isLeft = (): boolean => driven.effects.some(({ kind }) => kind === 'leave');
  driven.type('\u001b[B'.repeat(9));
  setMade(driven, '');
  setMade(driven, '2');
  driven.type('\u001b[B\r');
  setAnswered(driven, 'nightly', RECOVERY_KEY);
  driven.answer('host/finish-set-up', { ...MACHINE, isFirstBoot: false });
  match(driven.text(), /1A2B-3C4D-5E6F-7890/);
  driven.type('\r7890\r');
  equal(isLeft(), false, 'another set is being made');
  driven.type('\r');
  match(driven.text(), /The set-up is finished/);
  ok(!driven.asked.some(({ call }) => call.name === 'host/finish-set-up'));
  setAnswered(driven, 'nightly2', '2222-2222');
  equal(isLeft(), false);
  driven.type('\r2222\r');
  equal(isLeft(), true);
});

test('a person who set the machine up without a login is logged out when it is finished', async () => {
  const driven = fresh();
  driven.type('\u001b[F\r');
  driven.fail('host/finish-set-up', refusal("set the administrator's password first"));
  match(driven.text(), /set the administrator's password first/);
  driven.type('\u001b\r');
  equal(
    driven.effects.some(({ kind }) => kind === 'leave'),
    false,
  );
  driven.answer('host/finish-set-up', { ...MACHINE, isFirstBoot: false });
  equal(driven.effects.at(-1)!.kind, 'leave');
});

test('what is not known of the machine is said, and never looks like nothing', async () => {
  const driven = driveUp();
  for (const [title, name] of [
    ['Network', 'network/show'],
    ['Host', 'host/show'],
    ['Disks', 'disk/list'],
    ['SSH', 'ssh/show'],
  ] as const) {
    seen(driven, title);
    driven.fail(name, refusal('systemctl start holdfast-hostd.socket'));
    match(driven.text(), /systemctl start holdfast-hostd\.socket/);
  }
});

test('its screens and dialogs fit 80x24', async () => {
  const check = (driven: Driven): void => {
    const rows = driven.rows();
    equal(rows.length, 24);
    ok(
      rows.every(({ length }) => length <= 79),
      driven.text(),
    );
  };
  const driven = fresh();
  check(driven);
  for (const [title, keys] of [
    ['Network', '\rvbRt'],
    ['Host', '\rproFL'],
    ['Disks', '\r'],
    ['SSH', 'oas'],
  ] as const) {
    seen(driven, title);
    check(driven);
    for (const key of keys) {
      driven.type(key);
      check(driven);
      driven.type('\u001b');
    }
  }
});
