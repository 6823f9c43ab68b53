import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { collectDebt } from '../../../src/sessions/placed/debts.ts';
import { runOf } from '../../hypervisors/running.ts';
import { broughtTo } from './every-case.ts';
import { machineIn, newLife, type Place, placementIn, recordOf, rest, step } from './rig.ts';

/** The session's machine was undefined, and another one with its UUID is there on its own files ("virsh define"). */
async function strangerIn(place: Place): Promise<void> {
  const machine = machineIn(place)!;
  const guest = await place.rig.made(machine.id);
  for (const name of machine.disks.keys()) await guest.moveElsewhere(name);
  machine.session = undefined;
}

for (const phase of ['running', 'copying', 'pivoting', 'withdrawing'] as const) {
  test(`${phase}: a machine with the same UUID that nothing marks does not end the session`, async () => {
    const place = await broughtTo(phase);
    const mine = machineIn(place)!;
    await strangerIn(place);
    const life = newLife(place);
    equal(await rest(place, life), 'waits');
    deepEqual([recordOf(place).phase, place.isCleaned, place.areExportsUp], [phase, false, true]);
    const { waits, goal } = placementIn(place);
    equal(waits?.reason, 'person');
    match(waits.message, /UUID.*abandon the session.*remove it there/);
    equal(goal, { running: 'run', copying: 'move', pivoting: 'move', withdrawing: 'keep' }[phase]);
    ok(machineIn(place) === mine, 'it is left alone');

    // Once it is gone, what was written is kept.
    place.host.machines.delete(mine.id);
    await life.session.ask({ kind: 'retry' });
    await rest(place, life);
    if (phase === 'pivoting') return;
    if (phase !== 'withdrawing') await life.session.ask({ kind: 'keep', as: 'p1' });
    equal(await rest(place, life), 'over');
    ok(place.kept.has('p1'));
  });
}

test('placing: neither does one that took the place of a machine that was just started', async () => {
  const place = await broughtTo('placing');
  const first = newLife(place);
  while (machineIn(place)?.power !== 'on') await step(first);
  // As if the process had died before it journaled that.
  Object.assign(recordOf(place), { phase: 'placing' });
  await strangerIn(place);
  equal(await rest(place, newLife(place)), 'waits');
  deepEqual([recordOf(place).phase, placementIn(place).waits?.reason], ['placing', 'person']);
});

test('a machine that lost its mark on the disks that were reserved for it has moved', async () => {
  const place = await broughtTo('settling');
  machineIn(place)!.session = undefined;
  Object.assign(recordOf(place), { phase: 'pivoting' });
  equal(await rest(place, newLife(place)), 'over');
  ok(place.isCleaned);
});

test('an abandoned session leaves such a machine alone', async () => {
  const place = await broughtTo('running');
  await strangerIn(place);
  const life = newLife(place);
  await rest(place, life);
  await life.session.ask({ kind: 'abandon', name: placementIn(place).plan.name });
  equal(await rest(place, life), 'over');
  const { id } = machineIn(place)!;
  // The old machine cannot have its name again as long as that is taken.
  machineIn(place)!.name = 'moved';
  await using host = await place.rig.connect();
  const { signal } = new AbortController();
  await collectDebt(runOf(host), place.debts.get(recordOf(place).id)!, signal);
  ok(place.host.machines.has(id));
});
