import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import {
  collectDebt,
  forgiveDebt,
  listDebts,
  writeDebt,
} from '../../../src/sessions/placed/debts.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import { runOf } from '../../hypervisors/running.ts';
import { newStore, simulatedWorld } from '../../support/store.ts';
import { broughtTo, say } from './every-case.ts';
import { newLife, type Place, placementIn, recordOf, rest } from './rig.ts';

async function givenUp(): Promise<Place> {
  const place = await broughtTo('running');
  await place.rig.setUp(false);
  const life = newLife(place);
  await rest(place, life);
  await life.session.ask({ kind: 'abandon', name: placementIn(place).plan.name });
  equal(await rest(place, life), 'over');
  await place.rig.setUp(true);
  return place;
}

const { signal } = new AbortController();

test('a debt is durable, listed, and gone once it is forgiven', async () => {
  const world = simulatedWorld();
  const { store } = await newStore(world);
  const damaged: string[] = [];
  const list = () => listDebts(store, (session) => void damaged.push(session));
  deepEqual(await list(), []);
  const place = await givenUp();
  const [debt] = [...place.debts.values()];
  await writeDebt(store, debt!);
  await writeDebt(store, debt!);
  deepEqual(await list(), [debt]);
  // Another one, damaged, hides none.
  await putDurably(store.files, `${store.directory}/debts/web2-1.json`, Buffer.from('{"format":'));
  deepEqual([await list(), damaged], [[debt], ['web2-1']]);
  await forgiveDebt(store, debt!.session);
  await forgiveDebt(store, debt!.session);
  deepEqual(await list(), []);
});

test('what was given up is removed when the hypervisor is back, wherever that is interrupted', async () => {
  // The first call is the connection's own.
  for (let at = 2; ; at++) {
    const place = await givenUp();
    const debt = place.debts.get(recordOf(place).id)!;
    let calls = 0;
    await using first = await place.rig.connect({
      onCall: () => (++calls === at ? 'cut-after' : undefined),
    });
    const failure = await collectDebt(runOf(first), debt, signal).catch((cause: unknown) => cause);
    await using second = await place.rig.connect();
    await collectDebt(runOf(second), debt, signal);
    deepEqual(await place.rig.sessionTraces(), []);
    const names = [...place.host.machines.values()].map(({ name }) => name);
    deepEqual(names, [placementIn(place).plan.name]);
    if (failure === undefined) return;
  }
});

test('a machine that has begun to move is left to a person, with its disks', async () => {
  const place = await givenUp();
  const debt = place.debts.get(recordOf(place).id)!;
  await say(place, 'partly');
  await using host = await place.rig.connect();
  const message = /\(vda\) have moved.*there and nowhere else.*only then remove/;
  await rejects(collectDebt(runOf(host), debt, signal), { code: 'CONFLICT', message });
  equal((await place.rig.poolDisks()).length, 2);
});

test('a machine that had moved as a whole stays, and so does the one that it has replaced', async () => {
  for (const phase of ['running', 'pivoting', 'leaving'] as const) {
    const place = await broughtTo(phase);
    const { plan, machine } = placementIn(place);
    await place.rig.setUp(false);
    const life = newLife(place);
    await rest(place, life);
    await life.session.ask({ kind: 'abandon', name: plan.name });
    equal(await rest(place, life), 'over');
    await place.rig.setUp(true);
    await say(place, 'moved');
    const debt = place.debts.get(recordOf(place).id)!;
    for (let at = 2, isCut = true; isCut; at++) {
      let calls = 0;
      await using host = await place.rig.connect({
        onCall: () => (++calls === at ? 'cut-after' : undefined),
      });
      const collected = collectDebt(runOf(host), debt, signal);
      isCut = await collected.then(
        () => false,
        (cause: unknown) => {
          if (calls < at) throw cause;
          return true;
        },
      );
    }
    const names = [...place.host.machines.values()].map(({ name }) => name).sort();
    deepEqual(names, [plan.name, `${plan.name} (replaced)`], phase);
    ok(place.host.machines.has(machine!));
    const traces = await place.rig.sessionTraces();
    deepEqual(
      traces.filter((it) => !it.startsWith('volume ')),
      [],
      phase,
    );
  }
});

test('disks that may have moved before the session was given up stay, whatever uses them', async () => {
  const place = await broughtTo('pivoting');
  await place.rig.setUp(false);
  const life = newLife(place);
  await rest(place, life);
  await life.session.ask({ kind: 'abandon', name: placementIn(place).plan.name });
  equal(await rest(place, life), 'over');
  // By then a disk may have moved without having been seen there, and the machine may be on another host.
  await place.rig.setUp(true);
  await say(place, 'gone');
  await using host = await place.rig.connect();
  await collectDebt(runOf(host), place.debts.get(recordOf(place).id)!, signal);
  equal((await place.rig.poolDisks()).length, 2);
});

test('disks on which a machine has moved stay when its session ends, wherever the machine is by then', async () => {
  const place = await broughtTo('leaving');
  await say(place, 'gone');
  equal(await rest(place, newLife(place)), 'over');
  equal((await place.rig.poolDisks()).length, 2);
});

test('where a journal is lost, reserved disks go only if the machine is seen on disks of the session', async () => {
  for (const says of ['as it was', 'gone'] as const) {
    const place = await givenUp();
    await say(place, says);
    const debt = { ...place.debts.get(recordOf(place).id)!, machine: undefined };
    await using host = await place.rig.connect();
    await collectDebt(runOf(host), { ...debt, hasMoved: undefined }, signal);
    const volumes = (await place.rig.sessionTraces()).filter((it) => it.startsWith('volume '));
    equal(volumes.length, says === 'gone' ? 2 : 0);
    const names = [...place.host.machines.values()].map(({ name }) => name);
    deepEqual(names, [placementIn(place).plan.name]);
  }
});
