import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { openEngine } from '../../../src/engine/base/engine.ts';
import { recover } from '../../../src/engine/sessions/run-session.ts';
import { readJournal, writeJournal } from '../../../src/sessions/state/session-files.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { KEY } from '../../support/engine.ts';
import { filesIn, type PlacedHome, placedHome, RUN } from '../../support/placed-service.ts';
import { until } from '../../support/until.ts';

/** The process is killed before the effect of this number, counted from 1; what it does after that has no effect. */
function killedAt(home: PlacedHome, count: number) {
  const effects: string[] = [];
  const death = new AbortController();
  function isDead(name: string): boolean {
    if (effects.length >= count) return true;
    effects.push(name);
    if (effects.length < count) return false;
    death.abort(new Error('its client has lost the connection'));
    return true;
  }
  home.effect = (name) => {
    if (isDead(name)) throw new SystemError('IO', `killed before ${effects.at(-1)}`);
  };
  home.mishap = (name) => (isDead(name) ? 'cut-before' : undefined);
  return { effects, signal: death.signal };
}

function revive(home: PlacedHome): void {
  home.effect = () => {};
  home.mishap = () => undefined;
}

test('a run whose service is killed before any of its effects is undone, or goes on by itself', async () => {
  const home = await placedHome();
  const came = { none: 0, undone: 0, 'goes on': 0 };
  // Whatever follows happens to any session that has a journal.
  for (let count = 1; came['goes on'] < 3; count++) {
    const { effects, signal } = killedAt(home, count);
    try {
      await using service = await home.service();
      const options = { ...service.options, signal };
      await service.ask['session/run']({ ...RUN, points: [home.point] }, options);
    } catch {
      // It was killed: its answer is lost.
    }
    equal(effects.length, count);
    revive(home);
    const before = filesIn(home, 'sessions').length;
    await using service = await home.service();
    const [session] = filesIn(home, 'sessions');
    const where = `${count}: ${effects.join()}: ${service.log.join('; ')}`;
    if (session === undefined) {
      came[before > 0 ? 'undone' : 'none']++;
      if (before > 0) match(service.log.join(), /before the machine .* was planned|^$/);
    } else {
      came['goes on']++;
      await until(where, () => service.sessions.placed.of(session)?.record.phase === 'running');
      await service.ask['session/discard']({ session, stop: undefined }, service.options);
    }
    deepEqual([filesIn(home, 'sessions'), filesIn(home, 'leases')], [[], []], where);
    deepEqual(await home.rig.sessionTraces(), [], where);
    deepEqual(
      [...home.host.machines.values()].map(({ name }) => name),
      ['web1'],
      where,
    );
  }
  ok(came.undone >= 8, JSON.stringify(came));
});

/** What a killed run left before its machine was planned. */
async function leftRun(home: PlacedHome): Promise<string> {
  let isDead = false;
  home.effect = () => {
    if (isDead) throw new SystemError('IO', 'killed');
  };
  home.mishap = (name) => {
    isDead ||= name === 'examine';
    return isDead ? 'cut-before' : undefined;
  };
  await using service = await home.service();
  await rejects(service.ask['session/run']({ ...RUN, points: [home.point] }, service.options));
  revive(home);
  return filesIn(home, 'sessions')[0]!;
}

const elsewhere = { listen: undefined, tls: undefined, nfs: undefined };

test('a person who resumes what a killed run has left has an ordinary session, which is not removed', async () => {
  const home = await placedHome();
  const session = await leftRun(home);
  {
    await using engine = await openEngine(home.store);
    equal((await readJournal(engine.store, session))?.runsOn, 'kvm1');
    const what = { kind: 'resume', session } as const;
    const { signal } = new AbortController();
    const options = { secrets: KEY, signal, report: () => {} };
    await using _running = await recover(engine, { what, ...elsewhere }, options);
    equal((await readJournal(engine.store, session))?.runsOn, undefined);
  }
  await using _service = await home.service();
  deepEqual(filesIn(home, 'sessions'), [session]);
});

test('a record that this box did not write has no session removed', async () => {
  const home = await placedHome();
  const { signal } = new AbortController();
  await using engine = await openEngine(home.store);
  const what = { kind: 'point', point: home.point, whenFull: 'pause' } as const;
  const options = { secrets: KEY, signal, report: () => {} };
  const running = await recover(engine, { what, ...elsewhere }, options);
  const { session } = running.ready;
  await running[Symbol.asyncDispose]();
  await writeJournal(engine.store, {
    ...(await readJournal(engine.store, session))!,
    runsOn: 'kvm1',
  });
  await using _service = await home.service();
  deepEqual(filesIn(home, 'sessions'), [session]);
});

test('a session whose service is killed while it is removed is removed by the next one', async () => {
  const home = await placedHome();
  let isWhole = false;
  for (let count = 1; !isWhole; count++) {
    let left = count;
    let dies = (): boolean => false;
    home.effect = () => {
      if (dies()) throw new SystemError('IO', 'killed');
    };
    const service = await home.service();
    const { ask, options, sessions } = service;
    const { sessions: made } = await ask['session/run']({ ...RUN, points: [home.point] }, options);
    const { session } = made[0]!;
    dies = () => service.log.some((line) => line.endsWith('-> cleaning')) && --left <= 0;
    await sessions.placed.ask(session, { kind: 'discard', stop: 'off' });
    await until(
      'it is removed, or dead',
      () => left <= 0 || filesIn(home, 'sessions').length === 0,
    );
    isWhole = left > 0;
    await service[Symbol.asyncDispose]();
    revive(home);
    await using _next = await home.service();
    await until(`${count}`, () => filesIn(home, 'sessions').length === 0);
    deepEqual(filesIn(home, 'leases'), []);
    deepEqual(
      [...home.host.machines.values()].map(({ name }) => name),
      ['web1'],
    );
  }
});
