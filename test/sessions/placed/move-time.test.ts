import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import type { MoveWhen } from '../../../src/formats/store/sessions/placement.ts';
import {
  type Life,
  machineIn,
  newLife,
  newPlace,
  type Place,
  placementIn,
  recordOf,
  rest,
  step,
} from './rig.ts';

/** A session whose machine runs, and is to move then. */
async function running(moves: MoveWhen): Promise<{ readonly place: Place; readonly life: Life }> {
  const place = await newPlace({}, moves);
  const life = newLife(place);
  while (recordOf(place).phase !== 'running') await step(life);
  return { place, life };
}

test('a machine that is to move at once moves as soon as it runs, and its session ends', async () => {
  const { place, life } = await running({ kind: 'now' });
  equal(await rest(place, life), 'over');
  deepEqual(place.phases.slice(-4), ['pivoting', 'settling', 'leaving', 'cleaning']);
});

test("a machine moves once its guest's agent answers, not before", async () => {
  const { place, life } = await running({ kind: 'heartbeat' });
  machineIn(place)!.hasAgent = false;
  equal(await rest(place, life), 'waits');
  equal(recordOf(place).phase, 'running');
  machineIn(place)!.hasAgent = true;
  equal(await rest(place, life), 'over');
});

test('a machine moves so long after it was first seen to run, also if another process comes to know that', async () => {
  const { place, life } = await running({ kind: 'after', seconds: 60 });
  deepEqual(await step(life), { kind: 'later', ms: 15_000 });
  await place.clock.advance(59_000);
  const other = newLife(place);
  deepEqual(await step(other), { kind: 'later', ms: 1000 });
  await place.clock.advance(1000);
  equal(await rest(place, other), 'over');
});

test('space in the pool is taken before the machine is there, unless it moves only when a person says so', async () => {
  const asked = await running({ kind: 'asked' });
  equal(placementIn(asked.place).disks[0]!.reserved, undefined);
  deepEqual(await asked.place.rig.poolDisks(), []);
  await asked.life.session.ask({ kind: 'move' });
  equal(await rest(asked.place, asked.life), 'over');
  const later = await running({ kind: 'after', seconds: 60 });
  equal((await later.place.rig.poolDisks()).length, 2);
});

test('a machine that is off does not begin to move', async () => {
  const { place, life } = await running({ kind: 'now' });
  machineIn(place)!.power = 'off';
  equal(await rest(place, life), 'waits');
  equal(recordOf(place).phase, 'running');
});

test('a move that was canceled does not begin again by itself', async () => {
  const { place, life } = await running({ kind: 'now' });
  while (recordOf(place).phase !== 'copying') await step(life);
  await life.session.ask({ kind: 'cancel-move' });
  equal(await rest(place, newLife(place)), 'waits');
  equal(recordOf(place).phase, 'running');
});
