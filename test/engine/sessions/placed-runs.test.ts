import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { join } from 'node:path/posix';
import { test } from 'tap';
import { placedHome, RUN } from '../../support/placed-service.ts';
import { until } from '../../support/until.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';

test('several machines start in their order, each once the one before it runs, and are shown as one run', async () => {
  const home = await placedHome(['web1', 'db1']);
  await using service = await home.service();
  const { ask, options } = service;
  // The same point cannot be run twice under one name: nothing of either is there.
  const twice = { ...RUN, replace: undefined, points: [home.point, home.point] };
  await rejects(
    ask['session/run'](twice, options),
    /the run on kvm1 was refused, and nothing was changed/,
  );
  deepEqual(await home.rig.sessionTraces(), []);
  const asked = { ...RUN, points: home.points, heartbeat: 300 };
  const { run, sessions } = await ask['session/run'](asked, options);
  match(run!, /^run-/);
  const [first, second] = sessions.map(({ session }) => session);
  deepEqual(
    sessions.map(({ point }) => point),
    home.points,
  );
  await until('both run', async () => {
    const shown = await ask['session/show']({ session: second! }, options);
    return shown.state === 'running' && shown.placed?.power === 'on';
  });
  const { placed } = await ask['session/show']({ session: second! }, options);
  deepEqual(placed?.run, { run, after: first });
});

test('a delay and a heartbeat contradict each other, and without a point there is nothing to run', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options } = service;
  const both = { ...RUN, points: [home.point], delay: 5, heartbeat: 5 };
  await rejects(ask['session/run'](both, options), /give one of them/);
  await rejects(ask['session/run']({ ...RUN, points: [] }, options), /give a recovery point/);
});

test('a machine that a person has moved counts as having run, however soon its session is over', async () => {
  const home = await placedHome(['web1', 'db1']);
  await using service = await home.service();
  const { ask, options, sessions } = service;
  // No agent answers: the second machine waits.
  home.mishap = () => {
    for (const it of home.host.machines.values()) it.hasAgent = false;
    return undefined;
  };
  home.longestMs = 3000;
  const { sessions: made } = await ask['session/run'](
    { ...RUN, points: home.points, heartbeat: 300 },
    options,
  );
  const [first, second] = made.map(({ session }) => session);
  equal(sessions.placed.of(second!)!.record.placement!.waits?.reason, 'turn');
  const machine = await home.rig.made(sessions.placed.of(first!)!.record.placement!.machine!);
  for (const disk of ['vda', 'vdb']) await machine.moveElsewhere(disk);
  await sessions.placed.ask(first!, { kind: 'retry' });
  await until('the first is over', () => sessions.placed.of(first!) === undefined);
  await until('the second runs', () => sessions.placed.of(second!)?.record.phase === 'running');
});

test('that a machine has moved is not forgotten while the session that starts after it is held elsewhere', async () => {
  const home = await placedHome(['web1', 'db1']);
  home.longestMs = 100;
  home.mishap = () => {
    for (const it of home.host.machines.values()) it.hasAgent = false;
    return undefined;
  };
  let ids: readonly string[];
  let machine: string;
  {
    await using service = await home.service();
    const { ask, options, sessions } = service;
    const asked = { ...RUN, points: home.points, heartbeat: 300 };
    ids = (await ask['session/run'](asked, options)).sessions.map(({ session }) => session);
    machine = sessions.placed.of(ids[0]!)!.record.placement!.machine!;
  }
  const [first, second] = ids;
  const made = await home.rig.made(machine);
  for (const disk of ['vda', 'vdb']) await made.moveElsewhere(disk);
  const lock = join(home.store, 'sessions', second!, 'lock');
  const held = await realFileSystem().lock(lock, 'another process');
  await using service = await home.service();
  const { sessions } = service;
  await until('the first waits', () => sessions.waiting().has(first!));
  match(sessions.waiting().get(first!)!, /is in use by another process/);
  await held[Symbol.asyncDispose]();
  await until('the second runs', () => sessions.placed.of(second!)?.record.phase === 'running');
  await until('the first is over', () => !sessions.waiting().has(first!));
});
