import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { test } from 'tap';
import type { OldMachine } from '../../../src/formats/store/sessions/placement.ts';
import { broughtTo } from './every-case.ts';
import { newLife, type Place, placementIn, recordOf, rest, step } from './rig.ts';

/** A session that is to move, whose machine takes the place of another one. */
async function replacing(afterwards: OldMachine): Promise<Place> {
  const place = await broughtTo('copying');
  const record = recordOf(place);
  const plan = { ...placementIn(place).plan };
  const replaces = { machine: place.prepared.old.id, afterwards };
  Object.assign(record.placement!, { plan: { ...plan, replaces } });
  return place;
}

const oldIn = ({ host, prepared }: Place) => host.machines.get(prepared.old.id);

test('the machine that was replaced is removed once the new one has moved, where that was chosen', async () => {
  const place = await replacing('delete');
  const life = newLife(place);
  while (recordOf(place).phase !== 'leaving') await step(life);
  equal(oldIn(place)?.aside?.session, recordOf(place).id);
  equal(await rest(place, life), 'over');
  equal(oldIn(place), undefined);
  match(place.log.join('\n'), /removed the machine that it replaced; its disks are still there/);
});

test('by default it stays under the name that it was given', async () => {
  const place = await replacing('keep');
  equal(await rest(place, newLife(place)), 'over');
  deepEqual([oldIn(place)?.aside, oldIn(place)?.power], [undefined, 'off']);
  match(oldIn(place)!.name, /replaced/);
});

for (const [what, use] of [
  ['that runs again', { power: 'on' }],
  ['with another name', { name: 'mine' }],
] as const) {
  test(`a replaced machine ${what} is used by a person, and is not removed`, async () => {
    const place = await replacing('delete');
    const life = newLife(place);
    while (recordOf(place).phase !== 'leaving') await step(life);
    Object.assign(oldIn(place)!, use);
    equal(await rest(place, life), 'over');
    equal(oldIn(place)?.aside, undefined);
    match(place.log.join('\n'), /is not removed/);
  });
}

test('a replaced machine that the hypervisor does not remove is left there, and the session ends', async () => {
  for (const code of ['FAILED', 'DENIED'] as const) {
    const place = await replacing('delete');
    const life = newLife(place, undefined, (_, name) => (name === 'undefine' ? code : undefined));
    equal(await rest(place, life), 'over');
    deepEqual([oldIn(place)?.aside, oldIn(place)?.power], [undefined, 'off']);
    match(place.log.join('\n'), /is not removed/);
  }
});

test('one whose hypervisor is away at that moment is removed once it is back', async () => {
  const place = await replacing('delete');
  const life = newLife(place);
  while (recordOf(place).phase !== 'leaving') await step(life);
  let isCut = false;
  const cut = newLife(place, undefined, (_, name) => {
    if (name !== 'undefine' || isCut) return undefined;
    isCut = true;
    return 'cut-before';
  });
  equal(await rest(place, cut), 'over');
  deepEqual([isCut, oldIn(place)], [true, undefined]);
  doesNotMatch(place.log.join('\n'), /is not removed/);
});

test('a session that is discarded puts it back, whatever was to become of it', async () => {
  const place = await replacing('delete');
  const life = newLife(place);
  await life.session.ask({ kind: 'discard', stop: 'off' });
  equal(await rest(place, life), 'over');
  equal(oldIn(place)?.name, place.prepared.plan.name);
});
