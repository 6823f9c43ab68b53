import { deepEqual, equal, ok } from 'node:assert/strict';
import type { PlacedMachine, RunDriver } from '../../src/hypervisors/base/run-driver.ts';
import { noise } from '../support/random.ts';
import { until } from '../support/until.ts';
import type { Test } from './rig.ts';
import type { RunTestHost } from './run-rig.ts';
import {
  COPY,
  journal,
  PLACE,
  placed,
  type Prepared,
  prepare,
  runOf,
  SIZE,
  STAY,
  walk,
  WITHDRAW,
} from './running.ts';
import { endless, failureOf } from './taking.ts';

/** What every driver promises of machines whose guests write to the host's own storage. */
export function runsThereConform(test: Test, open: () => Promise<RunTestHost>): void {
  walksThereConform(test, open, [1, 2]);
  placesThereConform(test, open);
}

const prepared = (rig: RunTestHost): Promise<Prepared> => prepare(rig, 'session1', 'there');

/** `repeats`: how often each call is made. */
export function walksThereConform(
  test: Test,
  open: () => Promise<RunTestHost>,
  repeats: readonly number[],
): void {
  for (const times of repeats) {
    const each = times === 1 ? '' : ', also with each call made twice';
    test(`a guest writes to its host, which takes all it lacks, and the machine stays${each}`, async () => {
      await using rig = await open();
      const it = await prepared(rig);
      const { plan, served } = it;
      await using host = await rig.connect();
      const [noted, before] = [journal(), await served.contents('vda')];
      await walk(host, it, { steps: PLACE, noted, times });
      const guest = await rig.made(noted.id!);
      deepEqual(await guest.contents('vda'), before);
      await guest.write('vda', 4096, noise(5000, 1));
      equal((await rig.poolDisks()).length, 2);
      await walk(host, it, { steps: COPY, noted, times });
      const last = Uint8Array.from(before);
      last.set(noise(5000, 1), 4096);
      const disks = { vda: 'target', vdb: 'target' };
      deepEqual(await disksOf(runOf(host), placed(noted, it)), disks);
      await walk(host, it, { steps: STAY, noted, times });
      deepEqual([await rig.sessionTraces(), (await rig.poolDisks()).length], [[], 2]);
      // What is served is as it was, and is needed no longer.
      deepEqual(await served.contents('vda'), before);
      await served.setUp(false);
      await guest.write('vda', 0, noise(512, 3));
      last.set(noise(512, 3));
      deepEqual(await guest.contents('vda'), last);
      await runOf(host).release(plan.session, endless());
      equal((await rig.poolDisks()).length, 2);
    });

    test(`a machine whose guest wrote to its host is withdrawn, and leaves it as it was${each}`, async () => {
      await using rig = await open();
      const it = await prepared(rig);
      await using host = await rig.connect();
      const before = await host.machines(endless());
      const noted = journal();
      await walk(host, it, { steps: PLACE, noted, times });
      await (await rig.made(noted.id!)).write('vda', 4096, noise(5000, 1));
      await walk(host, it, { steps: WITHDRAW, noted, times });
      deepEqual([await rig.sessionTraces(), await rig.poolDisks()], [[], []]);
      deepEqual(await host.machines(endless()), before);
    });
  }
}

function placesThereConform(test: Test, open: () => Promise<RunTestHost>): void {
  test('a disk over what is served is ours, under other layers too, on and off; it is started again', async () => {
    await using rig = await open();
    const it = await prepared(rig);
    await using host = await rig.connect();
    const [run, noted] = [runOf(host), journal()];
    await walk(host, it, { steps: PLACE, noted });
    const machine = placed(noted, it);
    const guest = await rig.made(noted.id!);
    await guest.write('vdb', 4096, noise(5000, 1));
    const written = await guest.contents('vdb');
    const ours = { vda: 'ours', vdb: 'ours' };
    deepEqual(await disksOf(run, machine), ours);
    await run.stop(machine, 'off', endless());
    deepEqual(await disksOf(run, machine), ours);
    await run.start(machine, endless());
    deepEqual(await guest.contents('vdb'), written);
    const covered = async () => {
      const look = await run.look(machine, endless());
      return look.isThere && look.covered;
    };
    deepEqual(await covered(), []);
    await guest.addLayer('vda');
    deepEqual(await disksOf(run, machine), ours);
    deepEqual(await covered(), ['vda']);
    await guest.shutDown();
    deepEqual(await disksOf(run, machine), ours);
    equal((await failureOf(run.hide(it.plan.session, endless())))?.code, 'BUSY');
    await run.release(it.plan.session, endless());
    equal((await rig.poolDisks()).length, 2);
  });

  test('what a guest wrote to its host stays where a reservation is repeated', async () => {
    await using rig = await open();
    const it = await prepared(rig);
    await using host = await rig.connect();
    const [run, noted] = [runOf(host), journal()];
    await walk(host, it, { steps: PLACE, noted });
    const guest = await rig.made(noted.id!);
    await guest.write('vda', 4096, noise(5000, 1));
    const written = await guest.contents('vda');
    deepEqual(await run.reserve(it.plan, endless()), noted.reserved);
    await walk(host, it, { steps: COPY, noted });
    deepEqual(await run.reserve(it.plan, endless()), noted.reserved);
    deepEqual(await guest.contents('vda'), written);
  });

  test('a disk that cannot take what it lacks says so; the machine goes on, and takes it again', async () => {
    await using rig = await open();
    const it = await prepared(rig);
    await using host = await rig.connect();
    const [run, noted] = [runOf(host), journal()];
    await walk(host, it, { steps: PLACE, noted });
    const machine = placed(noted, it);
    // What a guest writes may have its disk take all around that: this one has not written.
    await it.served.setUp(false);
    await run.move(machine, noted.reserved, endless());
    await until('it has failed', async () => {
      const { vda } = await run.moving(machine, endless());
      return vda?.state === 'source' && vda.failure !== undefined;
    });
    deepEqual(await disksOf(run, machine), { vda: 'ours', vdb: 'ours' });
    equal((await failureOf(run.settle(machine, it.plan, endless())))?.code, 'CONFLICT');
    equal((await failureOf(run.pivot(machine, endless())))?.code, 'BUSY');
    await run.cancelMove(machine, endless());
    equal((await run.moving(machine, endless()))['vda']?.state, 'source');
    await it.served.setUp(true);
    await run.start(machine, endless());
    // A host may need some time until it reaches again what was away.
    await until('it has taken all', async () => {
      await run.move(machine, noted.reserved, endless());
      const moves = Object.values(await run.moving(machine, endless()));
      return moves.every(({ state }) => state === 'target');
    });
    await walk(host, it, { steps: STAY, noted });
    const guest = await rig.made(noted.id!);
    deepEqual(await guest.contents('vda'), await it.served.contents('vda'));
  });

  test('a machine that is off takes nothing, one without its disks is not made, a full pool is found', async () => {
    await using rig = await open();
    const it = await prepared(rig);
    await using host = await rig.connect();
    const [run, noted] = [runOf(host), journal()];
    const free = { ...it.plan, name: 'free' };
    deepEqual(await run.check(free, endless()), []);
    const findings = await run.check({ ...free, pool: rig.fullPool }, endless());
    ok(findings.some(({ level, code }) => level === 'blocker' && code === 'target-space'));
    const full = run.reserve({ ...it.plan, pool: rig.fullPool }, endless());
    equal((await failureOf(full))?.code, 'NO_SPACE');
    deepEqual([await rig.sessionTraces(), await rig.poolDisks()], [[], []]);
    await walk(host, it, { steps: PLACE.slice(0, -1), noted });
    const wrong = noted.reserved.map((disk) => ({ ...disk, size: SIZE - 512 }));
    const moving = (to: typeof noted.reserved) => run.move(placed(noted, it), to, endless());
    equal((await failureOf(moving(noted.reserved)))?.code, 'UNSUPPORTED');
    await run.start(placed(noted, it), endless());
    equal((await failureOf(moving(wrong)))?.code, 'CONFLICT');
  });
}

async function disksOf(run: RunDriver, machine: PlacedMachine) {
  const look = await run.look(machine, endless());
  ok(look.isThere);
  return look.disks;
}
