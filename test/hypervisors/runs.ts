import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import type { Finding, FindingCode } from '../../src/hypervisors/base/finding.ts';
import type { RunPlan } from '../../src/hypervisors/base/run-driver.ts';
import { noise } from '../support/random.ts';
import { until } from '../support/until.ts';
import type { SuiteOptions, Test } from './rig.ts';
import { lookingConforms } from './looking.ts';
import { runInterruptionsConform } from './run-interruptions.ts';
import type { RunTestHost } from './run-rig.ts';
import { runsThereConform } from './runs-there.ts';
import {
  COPY,
  journal,
  MAC,
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

/** What every driver promises that runs machines of sessions. `open` gives a fresh host. */
export function runsConform(
  test: Test,
  open: () => Promise<RunTestHost>,
  options: SuiteOptions = {},
): void {
  runsConformAlone(test, open);
  runsThereConform(test, open);
  runInterruptionsConform(test, open, options);
}

/** Without what happens at each call. */
export function runsConformAlone(test: Test, open: () => Promise<RunTestHost>): void {
  checkingConforms(test, open);
  walkingConforms(test, open);
  movingConforms(test, open);
  lookingConforms(test, open);
}

/** How a plan cannot be carried out, and the code that says so. */
const TROUBLES: readonly {
  readonly code: FindingCode;
  readonly level: Finding['level'];
  readonly make: (rig: RunTestHost, prepared: Prepared) => Promise<RunPlan>;
}[] = [
  {
    ...{ code: 'name', level: 'blocker' },
    make: async (rig, { plan }) => {
      await rig.machine({ name: 'taken', disks: { vda: SIZE } });
      return { ...plan, name: 'taken' };
    },
  },
  {
    ...{ code: 'source-machine', level: 'warning' },
    make: async (_rig, { plan, old }) => {
      await old.start();
      return plan;
    },
  },
  {
    ...{ code: 'network', level: 'blocker' },
    make: async (_rig, { plan }) => ({ ...plan, networks: { [MAC]: 'no such network' } }),
  },
  {
    ...{ code: 'target-space', level: 'blocker' },
    make: async (rig, { plan }) => ({ ...plan, pool: rig.fullPool }),
  },
  {
    ...{ code: 'data-path', level: 'blocker' },
    make: async (_rig, { plan, served }) => {
      await served.setUp(false);
      return plan;
    },
  },
];

function checkingConforms(test: Test, open: () => Promise<RunTestHost>): void {
  test('places name pools with their space, and networks', async () => {
    await using rig = await open();
    await using host = await rig.connect();
    const { pools, networks } = await runOf(host).places(endless());
    const sizes = new Map(pools.map(({ name, free }) => [name, free]));
    ok(sizes.get(rig.pool)! > 4 * SIZE && sizes.get(rig.fullPool)! < SIZE);
    ok(networks.includes(rig.network));
  });

  test('nothing stands in the way of a run whose place is free', async () => {
    await using rig = await open();
    const { plan } = await prepare(rig);
    await using host = await rig.connect();
    deepEqual(await runOf(host).check({ ...plan, name: 'free' }, endless()), []);
  });

  test('cards that are not connected, and disks that are not served yet, are no finding', async () => {
    await using rig = await open();
    const { plan } = await prepare(rig);
    await using host = await rig.connect();
    const disks = plan.disks.map((disk) => ({ ...disk, urls: [] }));
    const early = { ...plan, name: 'free', networks: {}, disks };
    deepEqual(await runOf(host).check(early, endless()), []);
  });

  for (const { code, level, make } of TROUBLES) {
    test(`a check of a run finds "${code}" as a ${level}, says what to do, and changes nothing`, async () => {
      await using rig = await open();
      const prepared = await prepare(rig);
      const plan = await make(rig, prepared);
      await using host = await rig.connect();
      const findings = await runOf(host).check(plan, endless());
      const found = findings.find((it) => it.code === code);
      equal(found?.level, level);
      ok(found.message.length > 0 && (found.remedy ?? '').length > 0);
      deepEqual([await rig.sessionTraces(), await rig.poolDisks()], [[], []]);
    });
  }
}

function walkingConforms(test: Test, open: () => Promise<RunTestHost>): void {
  for (const times of [1, 2]) {
    const each = times === 1 ? '' : ', also with each call made twice';
    test(`a machine starts from what is served, moves while it runs, and stays${each}`, async () => {
      await using rig = await open();
      const prepared = await prepare(rig);
      const { plan, served, old } = prepared;
      await using host = await rig.connect();
      const noted = journal();
      await walk(host, prepared, { steps: PLACE, noted, times });
      const machine = await rig.made(noted.id!);
      deepEqual(await machine.contents('vdb'), await served.contents('vdb'));
      await machine.write('vda', 4096, noise(5000, 1));
      deepEqual(await machine.contents('vda'), await served.contents('vda'));
      equal((await rig.poolDisks()).length, 2);
      await walk(host, prepared, { steps: COPY, noted, times });
      await machine.write('vda', 20_000, noise(5000, 2));
      const last = await machine.contents('vda');
      await walk(host, prepared, { steps: STAY, noted, times });
      deepEqual([await rig.sessionTraces(), (await rig.poolDisks()).length], [[], 2]);
      await served.setUp(false);
      await machine.write('vda', 0, noise(512, 3));
      last.set(noise(512, 3));
      deepEqual(await machine.contents('vda'), last);
      const { name } = (await host.describe(noted.id!, endless())).machine.from;
      ok(name === plan.name && (await nameOf(rig, old.id)) !== plan.name);
      // Nothing of it is the session's any longer.
      await runOf(host).release(plan.session, endless());
      equal((await rig.poolDisks()).length, 2);
    });

    test(`a machine that is withdrawn leaves the host as it was${each}`, async () => {
      await using rig = await open();
      const prepared = await prepare(rig);
      await using host = await rig.connect();
      const before = await host.machines(endless());
      const noted = journal();
      await walk(host, prepared, { steps: [...PLACE, ...COPY, ...WITHDRAW], noted, times });
      deepEqual([await rig.sessionTraces(), await rig.poolDisks()], [[], []]);
      deepEqual(await host.machines(endless()), before);
    });
  }

  test('the machine that register made is found by its session, and no other', async () => {
    await using rig = await open();
    const [one, two] = [await prepare(rig, 'session1'), await prepare(rig, 'session2')];
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, one, { steps: PLACE, noted });
    equal(await runOf(host).find(one.plan.session, endless()), noted.id);
    equal(await runOf(host).find(two.plan.session, endless()), undefined);
  });

  test('sessions beside each other: withdrawing one leaves the other', async () => {
    await using rig = await open();
    const [one, two] = [await prepare(rig, 'session1'), await prepare(rig, 'session2')];
    await using host = await rig.connect();
    const [first, second] = [journal(), journal()];
    await walk(host, one, { steps: PLACE, noted: first });
    const alone = await rig.sessionTraces();
    await walk(host, two, { steps: [...PLACE, ...COPY], noted: second });
    await walk(host, two, { steps: WITHDRAW, noted: second });
    deepEqual(await rig.sessionTraces(), alone);
    const failure = await failureOf(runOf(host).setAside(one.old.id, 'session2', endless()));
    equal(failure?.code, 'CONFLICT');
    equal(
      (await failureOf(runOf(host).putBack(one.old.id, 'session2', endless())))?.code,
      'CONFLICT',
    );
  });

  test('a machine that was set aside is removed for its session alone, off and untouched; its disks stay', async () => {
    await using rig = await open();
    const [one, two] = [await prepare(rig, 'session1'), await prepare(rig, 'session2')];
    await using host = await rig.connect();
    const run = runOf(host);
    const { session } = one.plan;
    const names = async () => (await host.machines(endless())).map(({ name }) => name).sort();
    const refused = async (id: string, by: string) =>
      (await failureOf(run.removeAside(id, by, endless())))?.code;
    const before = await names();
    // One that was never set aside, and one of another session.
    equal(await refused(one.old.id, session), 'CONFLICT');
    await run.setAside(one.old.id, session, endless());
    await run.setAside(two.old.id, 'session2', endless());
    equal(await refused(one.old.id, 'session2'), 'CONFLICT');
    const old = await rig.made(one.old.id);
    await old.start();
    equal(await refused(one.old.id, session), 'BUSY');
    equal((await names()).length, before.length);
    await old.shutDown();
    const disks = await run.removeAside(one.old.id, session, endless());
    equal(disks.length, 2);
    deepEqual(await run.removeAside(one.old.id, session, endless()), []);
    equal((await names()).length, before.length - 1);
    await run.putBack(two.old.id, 'session2', endless());
    ok((await names()).includes(two.plan.name));
    // A person who has it no longer aside uses it.
    await run.setAside(two.old.id, 'session2', endless());
    await run.leaveAside(two.old.id, 'session2', endless());
    equal(await refused(two.old.id, 'session2'), 'CONFLICT');
  });

  test('a name or UUID of another machine is EXISTS, one that runs is not set aside', async () => {
    await using rig = await open();
    const { plan, old } = await prepare(rig);
    await using host = await rig.connect();
    const run = runOf(host);
    const shown = await run.show(plan, endless());
    equal((await failureOf(run.register(plan, shown, endless())))?.code, 'EXISTS');
    const same = { ...plan, name: 'free', uuid: old.id };
    equal((await failureOf(run.register(same, shown, endless())))?.code, 'EXISTS');
    await old.start();
    equal((await failureOf(run.setAside(old.id, plan.session, endless())))?.code, 'BUSY');
    await rejects(run.reserve({ ...plan, pool: rig.fullPool }, endless()), { code: 'NO_SPACE' });
  });
}

async function nameOf(rig: RunTestHost, id: string): Promise<string | undefined> {
  await using host = await rig.connect();
  return (await host.machines(endless())).find((it) => it.id === id)?.name;
}

function movingConforms(test: Test, open: () => Promise<RunTestHost>): void {
  test('a target of another size is refused before anything is copied', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE, noted });
    const wrong = noted.reserved.map((it) => ({ ...it, size: it.size - 512 }));
    const machine = placed(noted, prepared);
    equal((await failureOf(runOf(host).move(machine, wrong, endless())))?.code, 'CONFLICT');
    const moves = await runOf(host).moving(machine, endless());
    deepEqual(
      Object.values(moves).map(({ state }) => state),
      ['source', 'source'],
    );
  });

  test('a machine that is off does not move: UNSUPPORTED', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE.slice(0, -1), noted });
    const moving = runOf(host).move(placed(noted, prepared), noted.reserved, endless());
    equal((await failureOf(moving))?.code, 'UNSUPPORTED');
  });

  test('a machine that is off gets the disks that we wrote, all at once, and starts from them', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    const { plan, served } = prepared;
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE.slice(0, -1), noted });
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    for (const it of noted.reserved) {
      await using disk = await host.restore!.open(it, endless());
      await disk.write(await served.contents(it.name), 0, 'cached');
      await disk.flush();
    }
    // Nothing to switch: only whether it could be.
    await run.switchDisks(machine, [], endless());
    const wrong = noted.reserved.map((it) => ({ ...it, size: it.size - 512 }));
    equal((await failureOf(run.switchDisks(machine, wrong, endless())))?.code, 'CONFLICT');
    const before = await run.look(machine, endless());
    deepEqual(before.isThere && before.disks, { vda: 'ours', vdb: 'ours' });
    for (let n = 0; n < 2; n++) await run.switchDisks(machine, noted.reserved, endless());
    const after = await run.look(machine, endless());
    deepEqual(after.isThere && after.disks, { vda: 'target', vdb: 'target' });
    await served.setUp(false);
    await run.start(machine, endless());
    // Its definition has them already, whether it runs or not.
    await run.switchDisks(machine, noted.reserved, endless());
    await run.settle(machine, plan, endless());
    const guest = await rig.made(noted.id!);
    deepEqual(await guest.contents('vda'), await served.contents('vda'));
    await guest.write('vda', 0, noise(512, 9));
    deepEqual((await guest.contents('vda')).subarray(0, 512), noise(512, 9));
  });

  test('a machine that runs keeps its disks: BUSY', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE, noted });
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    for (const to of [[], noted.reserved]) {
      equal((await failureOf(run.switchDisks(machine, to, endless())))?.code, 'BUSY');
    }
    const look = await run.look(machine, endless());
    deepEqual(look.isThere && look.disks, { vda: 'ours', vdb: 'ours' });
  });

  test('before all copies are ready, pivot is BUSY and changes nothing', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE, noted });
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    equal((await failureOf(run.pivot(machine, endless())))?.code, 'BUSY');
    await run.move(machine, noted.reserved.slice(0, 1), endless());
    await until('the copy of vda is ready', async () => {
      equal((await failureOf(run.pivot(machine, endless())))?.code, 'BUSY');
      return (await run.moving(machine, endless()))['vda']?.state === 'ready';
    });
    equal((await failureOf(run.pivot(machine, endless())))?.code, 'BUSY');
    const look = await run.look(machine, endless());
    deepEqual(look.isThere && look.disks, { vda: 'ours', vdb: 'ours' });
  });

  test('a copy whose source is away fails and says so; the machine goes on, and moves again', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE, noted });
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    await prepared.served.setUp(false);
    await run.move(machine, noted.reserved, endless());
    await until('the copy has failed', async () => {
      const { vda } = await run.moving(machine, endless());
      return vda?.state === 'source' && vda.failure !== undefined;
    });
    const guest = await rig.made(machine.id);
    await guest.write('vda', 0, noise(512, 1));
    await prepared.served.setUp(true);
    await run.start(machine, endless());
    await guest.write('vda', 0, noise(512, 2));
    await walk(host, prepared, { steps: [...COPY, ...STAY], noted });
    deepEqual((await guest.contents('vda')).subarray(0, 512), noise(512, 2));
  });

  test('a move that was canceled leaves the machine on what is served', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: [...PLACE, ...COPY], noted });
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    await run.cancelMove(machine, endless());
    const guest = await rig.made(machine.id);
    await guest.write('vdb', 0, noise(512, 1));
    deepEqual(await guest.contents('vdb'), await prepared.served.contents('vdb'));
    await walk(host, prepared, { steps: [...COPY, ...STAY], noted });
    deepEqual((await guest.contents('vdb')).subarray(0, 512), noise(512, 1));
  });

  test('while a machine uses them, served disks are not hidden and reserved ones not released', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    const { session } = prepared.plan;
    await using host = await rig.connect();
    const [run, noted] = [runOf(host), journal()];
    await walk(host, prepared, { steps: [...PLACE, ...COPY], noted });
    equal((await failureOf(run.hide(session, endless())))?.code, 'BUSY');
    await run.release(session, endless());
    equal((await rig.poolDisks()).length, 2);
    await run.pivot(placed(noted, prepared), endless());
    await run.release(session, endless());
    equal((await rig.poolDisks()).length, 2);
    await (await rig.made(noted.id!)).shutDown();
    await run.release(session, endless());
    equal((await rig.poolDisks()).length, 2);
  });
}
