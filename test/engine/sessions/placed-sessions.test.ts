import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { openEngine } from '../../../src/engine/base/engine.ts';
import { recover } from '../../../src/engine/sessions/run-session.ts';
import { sessionStatus } from '../../../src/sessions/state/listed-sessions.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { KEY } from '../../support/engine.ts';
import { NO_FILES } from '../../support/hypervisors.ts';
import {
  filesIn,
  MIGRATE,
  type PlacedHome,
  placedHome,
  type PlacedService,
  RUN,
} from '../../support/placed-service.ts';
import { until } from '../../support/until.ts';

const names = ({ host }: PlacedHome): readonly string[] =>
  [...host.machines.values()].map(({ name }) => name).sort();

/** Nothing of any session is left, here or there. */
async function expectNothing(home: PlacedHome): Promise<void> {
  deepEqual([...filesIn(home, 'sessions'), ...filesIn(home, 'leases')], []);
  deepEqual(await home.rig.sessionTraces(), []);
}

async function run(
  home: PlacedHome,
  { ask, options }: PlacedService,
  more: Partial<typeof RUN> = {},
) {
  const { sessions } = await ask['session/run']({ ...RUN, ...more, points: [home.point] }, options);
  return sessions[0]!;
}

async function untilGone(home: PlacedHome, service?: PlacedService): Promise<void> {
  const state = (): string => service?.log.join('\n') ?? '';
  await until('the session is gone', () => filesIn(home, 'sessions').length === 0, state);
}

test('a machine runs on its hypervisor, is shown, and discarding puts the old one back', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options } = service;
  const { session, state, waits, machine } = await run(home, service);
  deepEqual([state, waits, machine], ['running', null, 'web1']);
  deepEqual(names(home), ['web1', 'web1 (replaced)']);
  await until('it was looked at', async () => {
    const { placed } = await ask['session/show']({ session }, options);
    return placed?.disks.every(({ place }) => place === 'ours') === true;
  });
  const shown = await ask['session/show']({ session }, options);
  deepEqual(
    [shown.state, shown.placed?.hypervisor, shown.placed?.power],
    ['running', 'kvm1', 'on'],
  );
  await rejects(ask['session/stop']({ session }, options), /its machine on kvm1 needs the disks/);
  const remove = ask['hypervisor/remove']({ hypervisor: 'kvm1', force: true }, options);
  await rejects(remove, /has a machine on "kvm1": end the session first/);
  const gone = await ask['session/discard']({ session, stop: undefined }, options);
  deepEqual(gone, { session, discarded: true, waits: null });
  deepEqual(names(home), ['web1']);
  deepEqual(await home.rig.poolDisks(), []);
  await expectNothing(home);
  match(service.log.join('\n'), /placing -> running[^]*running -> withdrawing[^]*ended/);
});

test('whatever stands in the way is listed, and then nothing was changed', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const asked = run(home, service, { replace: undefined, pool: 'none' });
  await rejects(asked, (error: Error) => {
    match(error.message, /nothing was changed:\n/);
    match(error.message, /a machine "web1" exists on kvm1/);
    match(error.message, /no active pool "none"/);
    return true;
  });
  deepEqual(names(home), ['web1']);
  await expectNothing(home);
});

test('the service may end in each phase, and the machine moves to its hypervisor none the less', async () => {
  const home = await placedHome();
  const phases: string[] = [];
  let changed = Promise.withResolvers<void>();
  const onLog = (message: string): void => {
    const [, phase] = /^\w+ -> (\w+)$/.exec(message) ?? [];
    if (phase === undefined) return;
    phases.push(phase);
    changed.resolve();
  };
  {
    await using first = await home.service(onLog);
    const { session } = await run(home, first);
    await first.ask['session/migrate']({ ...MIGRATE, session }, first.options);
  }
  let services = 1;
  while (filesIn(home, 'sessions').length > 0) {
    ok(services++ < 20, phases.join());
    changed = Promise.withResolvers();
    await using service = await home.service(onLog);
    await Promise.race([changed.promise, untilGone(home, service)]);
  }
  ok(services > 3, `${services} services`);
  deepEqual(
    phases.filter((it, at) => phases.indexOf(it) === at),
    ['running', 'copying', 'pivoting', 'settling', 'leaving', 'cleaning'],
  );
  deepEqual(names(home), ['web1', 'web1 (replaced)']);
  equal((await home.rig.poolDisks()).length, 2);
  await expectNothing(home);
});

test('what is kept is a recovery point that can be run, also where the service ended in between', async () => {
  const home = await placedHome();
  let point: string;
  {
    await using service = await home.service();
    const { ask, options } = service;
    const { session } = await run(home, service);
    ({ point } = await ask['session/keep']({ session, stop: 'shutdown' }, options));
    deepEqual(names(home), ['web1']);
    await expectNothing(home);
  }
  const ending = Promise.withResolvers<void>();
  {
    await using service = await home.service((message) => {
      if (message.endsWith('-> keeping')) ending.resolve();
    });
    const { ask, options } = service;
    const { sessions } = await ask['session/run']({ ...RUN, points: [point] }, options);
    const next = sessions[0]!;
    equal(next.point, point);
    const leaving = new AbortController();
    const { session } = next;
    const asked = { ...options, signal: leaving.signal };
    const kept = ask['session/keep']({ session, stop: 'off' }, asked);
    await ending.promise;
    leaving.abort(new Error('the client has left'));
    await rejects(kept);
  }
  await using last = await home.service();
  await untilGone(home, last);
  const { points } = await last.ask['backup/list'](
    { set: undefined, machine: undefined, run: undefined },
    last.options,
  );
  equal(points.filter(({ origin }) => origin === 'session').length, 2);
  await expectNothing(home);
});

test('while the hypervisor is away a session waits, and goes on once it is back', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options } = service;
  const { session } = await run(home, service);
  await home.rig.setUp(false);
  const asked = await ask['session/discard']({ session, stop: undefined }, options);
  equal(asked.discarded, false);
  match(asked.waits ?? '', /fake host "fake1" does not answer/);
  const { placed, waits } = await ask['session/show']({ session }, options);
  deepEqual([placed?.goal, placed?.waits?.reason, waits], ['discard', 'away', asked.waits]);
  equal(service.sessions.placed.waits().get(session)?.reason, 'away');
  await home.rig.setUp(true);
  await untilGone(home, service);
  deepEqual(names(home), ['web1']);
  await expectNothing(home);
});

test('what was given up while the hypervisor was away is removed there once it is back', async () => {
  const home = await placedHome();
  {
    await using service = await home.service();
    const { ask, options } = service;
    const { session } = await run(home, service);
    const abandon = (name: string) => ask['session/abandon']({ session, name }, options);
    await rejects(abandon('web1'), /it does not wait/);
    await home.rig.setUp(false);
    await ask['session/discard']({ session, stop: undefined }, options);
    await rejects(abandon('web2'), /"web2" is not the name of its machine/);
    await abandon('web1');
    await untilGone(home, service);
    equal(filesIn(home, 'debts').length, 1);
  }
  deepEqual(names(home), ['web1', 'web1 (replaced)']);
  await using service = await home.service();
  await until('it was tried', () => service.sessions.placed.owed().length === 1);
  await home.rig.setUp(true);
  await until('it is collected', () => filesIn(home, 'debts').length === 0);
  deepEqual(names(home), ['web1']);
  await expectNothing(home);
});

test('sessions share one connection, which is closed with the last of them', async () => {
  const home = await placedHome();
  const calls: string[] = [];
  home.mishap = (name) => void calls.push(name);
  await using service = await home.service();
  const { ask, options } = service;
  const first = await run(home, service, { replace: undefined, name: 'a' });
  const second = await run(home, service, { replace: undefined, name: 'b' });
  const logins = (): number => calls.filter((name) => name === 'log in').length;
  equal(logins(), 1);
  deepEqual(names(home), ['a', 'b', 'web1']);
  for (const { session } of [first, second]) {
    await ask['session/discard']({ session, stop: undefined }, options);
  }
  equal(home.host.watchers.size, 0);
  const { session } = await run(home, service);
  equal(logins(), 2);
  // Another host may answer to the name by now.
  const changed = { ...NO_FILES, hypervisor: 'kvm1', uri: undefined, hostKey: undefined };
  await ask['hypervisor/change'](
    { ...changed, sockets: '/run/other', scratch: undefined },
    options,
  );
  await run(home, service, { replace: undefined, name: 'c' });
  ok(logins() > 2);
  await ask['session/discard']({ session, stop: undefined }, options);
});

/** Before each call of the hypervisor once the session's machine is being withdrawn. */
function onWithdrawing(home: PlacedHome, { log }: PlacedService, work: () => Promise<void>): void {
  home.mishap = async () => {
    if (log.some((line) => line.endsWith('-> withdrawing'))) await work();
    return undefined;
  };
}

test('who waits until a session is kept learns that another has discarded it', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options, sessions } = service;
  const { session } = await run(home, service);
  const [isWithdrawing, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  onWithdrawing(home, service, async () => {
    isWithdrawing.resolve();
    await mayGoOn.promise;
  });
  const kept = ask['session/keep']({ session, stop: 'off' }, options);
  await isWithdrawing.promise;
  const asked = sessions.placed.ask(session, { kind: 'discard', stop: 'off' });
  mayGoOn.resolve();
  await asked;
  await rejects(kept, /was not kept: it was discarded/);
  await expectNothing(home);
});

test('who discards a session learns that its machine has moved, and stays', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options, sessions } = service;
  const { session } = await run(home, service);
  const machine = sessions.placed.of(session)!.record.placement!.machine!;
  let isMoved = false;
  onWithdrawing(home, service, async () => {
    if (isMoved) return;
    isMoved = true;
    const made = await home.rig.made(machine);
    for (const disk of ['vda', 'vdb']) await made.moveElsewhere(disk);
  });
  const discarded = ask['session/discard']({ session, stop: undefined }, options);
  await rejects(
    discarded,
    /was not discarded: its machine has moved to the disks of the hypervisor/,
  );
  ok(home.host.machines.has(machine));
});

test('the damage that is found while a session is kept is told, and who leaves does not wait', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options } = service;
  const damage = [{ where: 'vda', what: 'a part of it is lost' }];
  home.keeping = async (work) => ({ ...(await work()), damage });
  const first = await run(home, service);
  const kept = await ask['session/keep']({ session: first.session, stop: 'off' }, options);
  deepEqual(kept.damage, damage);
  const [isKeeping, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  home.keeping = async (work) => {
    isKeeping.resolve();
    await mayGoOn.promise;
    return work();
  };
  const { session } = await run(home, service);
  const leaving = new AbortController();
  const asked = { ...options, signal: leaving.signal };
  const left = ask['session/keep']({ session, stop: 'off' }, asked);
  await isKeeping.promise;
  leaving.abort(new Error('the job was canceled'));
  await rejects(left, /the job was canceled/);
  mayGoOn.resolve();
  await untilGone(home, service);
});

test('the service starts while a session is still being kept, and keeps it once', async () => {
  const home = await placedHome();
  const isKeeping = Promise.withResolvers<void>();
  home.keeping = () => {
    isKeeping.resolve();
    throw new SystemError('FAILED', 'the service has ended');
  };
  {
    await using service = await home.service();
    const { ask, options } = service;
    const { session } = await run(home, service);
    const kept = ask['session/keep']({ session, stop: 'off' }, options);
    await rejects(kept, /the service has ended/);
  }
  const mayGoOn = Promise.withResolvers<void>();
  let count = 0;
  home.keeping = async (work) => {
    count++;
    await mayGoOn.promise;
    return work();
  };
  await using service = await home.service();
  await until('it is kept', () => count > 0);
  await service.sessions.resumeAll();
  mayGoOn.resolve();
  await untilGone(home, service);
  equal(count, 1);
});

test('a session whose machine runs is resumed nowhere else than before', async () => {
  const home = await placedHome();
  let session: string;
  {
    await using service = await home.service();
    ({ session } = await run(home, service));
  }
  await using engine = await openEngine(home.store);
  const { listen } = (await sessionStatus(engine.store, session)).record;
  const what = { kind: 'resume', session } as const;
  const { signal } = new AbortController();
  const options = { secrets: KEY, signal, report: () => {}, drives: true };
  const elsewhere = { what, listen: 'tcp:127.0.0.1:0', tls: undefined, nfs: undefined };
  await rejects(
    recover(engine, elsewhere, options),
    /needs its disks where they were: resume it without an address/,
  );
  equal((await sessionStatus(engine.store, session)).record.listen, listen);
});

test('a run whose connection ends makes nothing, and the next one has another', async () => {
  const home = await placedHome();
  await using service = await home.service();
  let hasEnded = false;
  home.mishap = (name) => {
    if (hasEnded || name === 'log in') return undefined;
    hasEnded = true;
    return 'cut-before';
  };
  await rejects(run(home, service), /does not answer/);
  ok(hasEnded);
  await expectNothing(home);
  await run(home, service);
});
