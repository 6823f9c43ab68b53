import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { PlacedMachine } from '../../../src/operations/nouns/placed.ts';
import { type Driven, onSessions, refusal, session, TIME } from '../../support/console.ts';

const MACHINE: PlacedMachine = {
  ...{ hypervisor: 'kvm1', machine: 'web-recovered', id: 'u-1', goal: 'move', power: 'on' },
  ...{ heartbeat: true, pool: 'fast', writes: 'here', waits: null, run: null },
  disks: [
    { disk: 'vda', place: 'ours', done: 512, total: 1024, rate: 2 ** 20 },
    { disk: 'vdb', place: 'target', done: 7, total: 7, rate: null },
    { disk: 'vdc', place: 'ours', done: null, total: null, rate: null },
  ],
};

function onSession(placed: PlacedMachine | null, waits: string | null = null): Driven {
  const driven = onSessions();
  driven.type('\r');
  const shown = {
    ...session(),
    waits,
    state: 'copying' as const,
    placed,
    attach: null,
    overlay: null,
  };
  driven.answer('session/show', shown);
  return driven;
}

const requestOf = (driven: Driven, name: string): unknown =>
  driven.asked.find(({ call }) => call.name === name)?.call.request;

test('a session with a machine on a hypervisor shows its state, and each disk in per cent', async () => {
  const driven = onSession(MACHINE);
  match(driven.text(), /State +copying/);
  match(driven.text(), /There +web-recovered on kvm1: on, its agent answers/);
  match(driven.text(), /Disks +vda 50 %; vdb has moved; vdc served from here/);
  match(driven.text(), /m migrate {2}p power/);
  ok(!driven.text().includes('F finalize'));
  const away = { ...MACHINE, power: null, heartbeat: null };
  match(onSession(away).text(), /There +web-recovered on kvm1: not known/);
});

test('what a session waits for is read as a whole, with what to do', async () => {
  const waits = `the pool is full: ${'free some space, '.repeat(7)}then resume`;
  match(
    onSession(MACHINE, waits).text().replaceAll(/\s+/g, ' '),
    /the pool is full: .*then resume/,
  );
});

test('a session that waits tries again by a key, and another one does not', async () => {
  const waits = { reason: 'person', since: TIME, message: 'the pool is full' } as const;
  const waiting = onSession({ ...MACHINE, waits }, 'the pool is full');
  match(waiting.text(), /p power {2}t try again/);
  waiting.type('t');
  deepEqual(requestOf(waiting, 'session/retry'), { session: 'web-1a2b3c' });
  const runs = onSession(MACHINE);
  runs.type('t');
  equal(requestOf(runs, 'session/retry'), undefined);
});

test('a migration is begun by a word, and ended by a key', async () => {
  const waits = onSession({ ...MACHINE, goal: 'run' });
  waits.type('m');
  match(waits.text(), /migrate to kvm1, pool fast, while its machine runs/);
  equal(requestOf(waits, 'session/migrate'), undefined);
  waits.type('migrate\r');
  const request = {
    ...{ session: 'web-1a2b3c', pool: undefined, offline: false, stop: undefined },
    ...{ start: false, confirmed: false },
  };
  deepEqual(requestOf(waits, 'session/migrate'), { ...request, cancel: false });
  const moves = onSession(MACHINE);
  moves.type('m');
  deepEqual(requestOf(moves, 'session/migrate'), { ...request, cancel: true });
});

test('a machine that is off migrates by a form, which first says how long that takes', async () => {
  const off = onSession({ ...MACHINE, goal: 'run', power: 'off' });
  off.type('m');
  match(off.text(), /Migrate web-1a2b3c to kvm1 while its machine is off/);
  off.type('\r');
  const asked = requestOf(off, 'session/migrate') as { offline: boolean; confirmed: boolean };
  deepEqual([asked.offline, asked.confirmed], [true, false]);
  const downtime = {
    ...{ bytes: 2 ** 30, seconds: 26, rate: 40 * 2 ** 20, measured: false, power: 'off' },
  };
  off.answer('session/migrate', {
    ...{ session: 'web-1a2b3c', state: 'running', waits: null },
    downtime,
  });
  match(off.text(), /off: about 26 s, at 40.0 MiB\/s[^]*assumed[^]*Enter begin {2}Esc back/);
  off.type('\r');
  const begun = off.asked.filter(({ call }) => call.name === 'session/migrate').at(-1)!;
  deepEqual(begun.call.request, { ...asked, confirmed: true });
  off.fail('session/migrate', refusal('the pool is full'));
  match(off.text(), /Migrate web-1a2b3c to kvm1 while its machine is off\n[^]*the pool is full/);
});

test('its machine is started by a key, and shut down by a word', async () => {
  const off = onSession({ ...MACHINE, power: 'off' });
  off.type('p');
  deepEqual(requestOf(off, 'session/power'), { session: 'web-1a2b3c', power: 'on' });
  const on = onSession(MACHINE);
  on.type('p');
  equal(requestOf(on, 'session/power'), undefined);
  on.type('shutdown\r');
  deepEqual(requestOf(on, 'session/power'), { session: 'web-1a2b3c', power: 'shutdown' });
});

test('any other session is finalized by a job, which goes on without the console', async () => {
  const driven = onSession(null);
  match(driven.text(), /F finalize/);
  ok(!driven.text().includes('m migrate'));
  driven.type('F/srv/images\r');
  const { kind, request } = requestOf(driven, 'job/create') as {
    kind: string;
    request: Record<string, unknown>;
  };
  equal(kind, 'finalize');
  equal(request['session'], 'web-1a2b3c');
  equal(request['to'], '/srv/images');
  equal(request['whileRunning'], false);
});
