import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import type {
  HypervisorEvent,
  PlacedMachine,
  RunDriver,
} from '../../src/hypervisors/base/run-driver.ts';
import { noise } from '../support/random.ts';
import { until } from '../support/until.ts';
import type { Test } from './rig.ts';
import type { RunTestHost } from './run-rig.ts';
import {
  COPY,
  type Journal,
  journal,
  PLACE,
  placed,
  type Prepared,
  prepare,
  runOf,
  STAY,
  walk,
} from './running.ts';
import { endless, failureOf } from './taking.ts';

export function lookingConforms(test: Test, open: () => Promise<RunTestHost>): void {
  test('look says where each disk is: served, under other layers too; at its target; elsewhere', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE, noted });
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    const guest = await rig.made(machine.id);
    deepEqual(await disksOf(run, machine), { vda: 'ours', vdb: 'ours' });
    deepEqual(await coveredOf(run, machine), []);
    await guest.addLayer('vda');
    await guest.addLayer('vda');
    deepEqual(await disksOf(run, machine), { vda: 'ours', vdb: 'ours' });
    deepEqual(await coveredOf(run, machine), ['vda']);
    await guest.moveElsewhere('vda');
    deepEqual(await disksOf(run, machine), { vda: 'elsewhere', vdb: 'ours' });
    await guest.moveElsewhere('vdb');
    equal((await failureOf(run.unregister(machine, endless())))?.code, 'CONFLICT');
  });

  test('a layer over a served disk counts also while the machine is off', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE, noted });
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    const guest = await rig.made(machine.id);
    await guest.addLayer('vda');
    await guest.shutDown();
    deepEqual(await disksOf(run, machine), { vda: 'ours', vdb: 'ours' });
    deepEqual(await coveredOf(run, machine), ['vda']);
    equal((await failureOf(run.hide(prepared.plan.session, endless())))?.code, 'BUSY');
    // What it wrote since then would be lost.
    for (const to of [[], noted.reserved]) {
      equal((await failureOf(run.switchDisks(machine, to, endless())))?.code, 'CONFLICT');
    }
    deepEqual(await disksOf(run, machine), { vda: 'ours', vdb: 'ours' });
  });

  test('look says that a disk is at its target once it is, and not before', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: [...PLACE, ...COPY], noted });
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    deepEqual(await disksOf(run, machine), { vda: 'ours', vdb: 'ours' });
    await run.pivot(machine, endless());
    deepEqual(await disksOf(run, machine), { vda: 'target', vdb: 'target' });
    const guest = await rig.made(machine.id);
    await guest.shutDown();
    deepEqual(await disksOf(run, machine), { vda: 'target', vdb: 'target' });
    equal((await failureOf(run.unregister(machine, endless())))?.code, 'CONFLICT');
    await run.settle(machine, prepared.plan, endless());
    const look = await run.look(machine, endless());
    ok(look.isThere && look.session === undefined && look.name === prepared.plan.name);
  });

  test('look says how the machine is: on, off, stopped for a disk, paused by a person, gone', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE.slice(0, -1), noted });
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    const guest = await rig.made(machine.id);
    equal(await powerOf(run, machine), 'off');
    await run.start(machine, endless());
    equal(await powerOf(run, machine), 'on');
    await prepared.served.setUp(false);
    await guest.write('vda', 0, noise(512, 1));
    equal(await powerOf(run, machine), 'paused-io');
    await prepared.served.setUp(true);
    await run.start(machine, endless());
    equal(await powerOf(run, machine), 'on');
    await guest.pause();
    equal(await powerOf(run, machine), 'paused');
    await run.stop(machine, 'off', endless());
    equal(await powerOf(run, machine), 'off');
    await guest.undefine();
    deepEqual(await run.look(machine, endless()), { isThere: false });
    equal((await failureOf(run.start(machine, endless())))?.code, 'NOT_FOUND');
    await run.unregister(machine, endless());
    await run.release(prepared.plan.session, endless());
    await run.hide(prepared.plan.session, endless());
    await run.putBack(prepared.old.id, prepared.plan.session, endless());
    deepEqual(await rig.sessionTraces(), []);
  });

  test('a machine without our mark, or with another session’s, is CONFLICT and stays as it is', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    const other = await rig.machine({ name: 'other', disks: { vda: 65_536 } });
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE, noted });
    const { session } = prepared.plan;
    const before = [await host.machines(endless()), await rig.sessionTraces()];
    for (const machine of [
      { id: other.id, session },
      { id: noted.id!, session: 'session9' },
      { id: prepared.old.id, session },
    ]) {
      await refusesAll(runOf(host), machine, { prepared, noted });
    }
    deepEqual([await host.machines(endless()), await rig.sessionTraces()], before);
    equal(await other.isRunning(), true);
  });

  test('once it is settled, a machine is not ours to stop or remove', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: [...PLACE, ...COPY, ...STAY], noted });
    const before = await host.machines(endless());
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    equal((await failureOf(run.stop(machine, 'off', endless())))?.code, 'CONFLICT');
    equal((await failureOf(run.unregister(machine, endless())))?.code, 'CONFLICT');
    deepEqual(await host.machines(endless()), before);
  });

  test('settle refuses as long as a disk is served, unregister as long as the machine runs', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: [...PLACE, ...COPY], noted });
    const [run, machine] = [runOf(host), placed(noted, prepared)];
    equal((await failureOf(run.settle(machine, prepared.plan, endless())))?.code, 'CONFLICT');
    equal((await failureOf(run.unregister(machine, endless())))?.code, 'BUSY');
    equal(await powerOf(run, machine), 'on');
  });

  test('events say that there is a reason to look, and end with their signal', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const controller = new AbortController();
    const seen: HypervisorEvent[] = [];
    const watching = (async () => {
      for await (const event of runOf(host).events(controller.signal)) seen.push(event);
    })();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE, noted });
    const guest = await rig.made(noted.id!);
    await guest.shutDown();
    await rig.setUp(false);
    await rig.setUp(true);
    // Each may come late, as one over a network does.
    await until('the host is back', () => seen.some(({ kind }) => kind === 'back'));
    controller.abort();
    await watching;
    ok(seen.some((event) => event.kind === 'machine' && event.id === noted.id));
    const kinds = seen.map(({ kind }) => kind);
    ok(kinds.indexOf('away') >= 0 && kinds.indexOf('away') < kinds.indexOf('back'), kinds.join());
  });

  test('a signal that has come ends every call of a run with its reason', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using host = await rig.connect();
    const noted = journal();
    await walk(host, prepared, { steps: PLACE, noted });
    const reason = new Error('canceled');
    const gone = AbortSignal.abort(reason);
    for (const call of allCalls(runOf(host), placed(noted, prepared), { prepared, noted }, gone)) {
      await rejects(call(), reason);
    }
  });
}

async function disksOf(run: RunDriver, machine: PlacedMachine) {
  const look = await run.look(machine, endless());
  ok(look.isThere);
  return look.disks;
}

async function coveredOf(run: RunDriver, machine: PlacedMachine) {
  const look = await run.look(machine, endless());
  ok(look.isThere);
  return look.covered;
}

async function powerOf(run: RunDriver, machine: PlacedMachine) {
  const look = await run.look(machine, endless());
  return look.isThere ? look.power : undefined;
}

interface Known {
  readonly prepared: Prepared;
  readonly noted: Journal;
}

/** Those that change a machine that `register` made. */
function changes(
  run: RunDriver,
  machine: PlacedMachine,
  { prepared, noted }: Known,
  signal: AbortSignal,
): readonly (() => Promise<unknown>)[] {
  return [
    () => run.start(machine, signal),
    () => run.stop(machine, 'shutdown', signal),
    () => run.stop(machine, 'off', signal),
    () => run.move(machine, noted.reserved, signal),
    () => run.cancelMove(machine, signal),
    () => run.pivot(machine, signal),
    () => run.settle(machine, prepared.plan, signal),
    () => run.unregister(machine, signal),
  ];
}

function allCalls(
  run: RunDriver,
  machine: PlacedMachine,
  known: Known,
  signal: AbortSignal,
): readonly (() => Promise<unknown>)[] {
  const { plan, old } = known.prepared;
  return [
    ...changes(run, machine, known, signal),
    () => run.places(signal),
    () => run.check(plan, signal),
    () => run.reserve(plan, signal),
    () => run.release(plan.session, signal),
    () => run.show(plan, signal),
    () => run.hide(plan.session, signal),
    () => run.setAside(old.id, plan.session, signal),
    () => run.putBack(old.id, plan.session, signal),
    () => run.leaveAside(old.id, plan.session, signal),
    () => run.register(plan, known.noted.shown, signal),
    () => run.find(plan.session, signal),
    () => run.look(machine, signal),
    () => run.moving(machine, signal),
  ];
}

async function refusesAll(run: RunDriver, machine: PlacedMachine, known: Known): Promise<void> {
  for (const change of changes(run, machine, known, endless())) {
    equal((await failureOf(change()))?.code, 'CONFLICT');
  }
}
