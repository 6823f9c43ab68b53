import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { Mishap } from '../../hypervisors/rig.ts';
import { broughtTo, say, survives } from './every-case.ts';
import { machineIn, newLife, newPlace, placementIn, recordOf, rest, step } from './rig.ts';

// The issue: "Host away: waits, exports serve on, says since when".
test('while the hypervisor is away a session asks again each minute, says since when, and serves on', async () => {
  const place = await broughtTo('copying');
  await place.rig.setUp(false);
  const life = newLife(place);
  await life.session.ask({ kind: 'discard' });
  const pauses: unknown[] = [];
  for (let n = 0; n < 4; n++) pauses.push(await step(life));
  const later = (ms: number) => ({ kind: 'later', ms });
  const expected = [30_000, 60_000, 60_000, 60_000];
  deepEqual(pauses, expected.map(later));
  const { waits } = placementIn(place);
  deepEqual([waits?.reason, waits?.since], ['away', '2026-11-30T08:00:00.000Z']);
  ok(place.areExportsUp);
  // Only with the name of what is given up.
  await rejects(life.session.ask({ kind: 'abandon', name: 'yes' }), { code: 'IMPOSSIBLE' });
  equal(place.debts.size, 0);
});

const ANSWERS: readonly (readonly [Mishap, string])[] = [
  ['BUSY', 'busy'],
  ['NO_SPACE', 'no-space'],
  ['DENIED', 'person'],
  ['FAILED', 'person'],
];

for (const [code, reason] of ANSWERS) {
  test(`${code} is answered by waiting: ${reason}`, async () => {
    const place = await broughtTo('copying');
    const failing = newLife(place, undefined, () => code);
    equal(await rest(place, failing), 'waits');
    equal(placementIn(place).waits?.reason, reason);
    ok(place.areExportsUp);
    const mended = newLife(place);
    // What a person has to decide is not tried again by itself.
    if (reason === 'person') {
      await rest(place, mended);
      equal(recordOf(place).phase, 'copying');
      await mended.session.ask({ kind: 'retry' });
    }
    equal(await rest(place, mended), 'over');
    ok(place.phases.includes('settling'));
  });
}

test('while disks are copied, their pool is not asked for anything', async () => {
  const place = await broughtTo('copying');
  const first = newLife(place);
  await step(first);
  ok(first.effects.includes('look for volume'));
  const life = newLife(place, undefined, (_, name) =>
    name === 'look for volume' ? 'FAILED' : undefined,
  );
  equal(await rest(place, life), 'over');
  ok(place.phases.includes('settling'));
});

test('a copy that ends again and again is given up, the machine runs on, and a person is told', async () => {
  const place = await broughtTo('copying');
  const life = newLife(place);
  for (let n = 0; recordOf(place).phase === 'copying'; n++) {
    ok(n < 20);
    const pause = await step(life);
    // It is begun again after a while, not at once.
    if (pause.kind === 'later') await place.clock.advance(pause.ms);
    const disks = [...machineIn(place)!.disks.values()];
    for (const disk of disks) Object.assign(disk, { copy: undefined, copyFailure: 'no space' });
  }
  equal(recordOf(place).phase, 'running');
  await rest(place, life);
  const { waits, goal } = placementIn(place);
  deepEqual([waits?.reason, goal, machineIn(place)?.power], ['person', 'run', 'on']);
  match(waits!.message, /attempt 4: no space/);
  await life.session.ask({ kind: 'move' });
  equal(await rest(place, life), 'over');
});

test('a machine that stopped because its disks did not answer runs on once they do', async () => {
  const place = await broughtTo('running');
  await place.prepared.served.setUp(false);
  const guest = await place.rig.made(machineIn(place)!.id);
  await guest.write('vda', 0, new Uint8Array(512));
  ok(machineIn(place)!.hasIoError);
  const life = newLife(place);
  await step(life);
  ok(!machineIn(place)!.hasIoError);
});

for (const phase of ['copying', 'pivoting', 'withdrawing'] as const) {
  test(`${phase}: while a person has to decide, the machine is looked after, and nothing else is done`, async () => {
    const place = await broughtTo(phase);
    await rest(
      place,
      newLife(place, undefined, () => 'DENIED'),
    );
    equal(placementIn(place).waits?.reason, 'person');
    await place.prepared.served.setUp(false);
    const guest = await place.rig.made(machineIn(place)!.id);
    await guest.write('vda', 0, new Uint8Array(512));
    ok(machineIn(place)!.hasIoError);
    // Also in a process that knows of the wait by the journal alone.
    const life = newLife(place);
    const { waits } = placementIn(place);
    await place.rig.setUp(false);
    deepEqual(await step(life), { kind: 'later', ms: 30_000 });
    await place.rig.setUp(true);
    deepEqual(await step(life), { kind: 'later', ms: 15_000 });
    deepEqual([machineIn(place)!.hasIoError, machineIn(place)!.power], [false, 'on']);
    deepEqual([recordOf(place).phase, placementIn(place).waits], [phase, waits]);
  });
}

test('power-off is no end, and a machine that is off moves once it runs again', async () => {
  const place = await broughtTo('running');
  const life = newLife(place);
  await life.session.power('off');
  equal(await rest(place, life), 'waits');
  equal(recordOf(place).phase, 'running');
  await life.session.ask({ kind: 'move' });
  await rest(place, life);
  equal(placementIn(place).waits?.reason, 'machine-off');
  await life.session.power('on');
  equal(await rest(place, life), 'over');
  ok(machineIn(place)?.autostart);
});

test('a machine that vanished is reported, and can be kept; one that was moved by hand settles', async () => {
  const gone = await broughtTo('running');
  await say(gone, 'gone');
  const life = newLife(gone);
  await rest(gone, life);
  equal(placementIn(gone).waits?.reason, 'machine-gone');
  await life.session.ask({ kind: 'keep', as: 'p1' });
  equal(await rest(gone, life), 'over');
  ok(gone.kept.has('p1'));

  const moved = await broughtTo('running');
  await say(moved, 'moved');
  equal(await rest(moved, newLife(moved)), 'over');
  ok(moved.phases.includes('settling'));
  deepEqual(await moved.rig.sessionTraces(), []);
});

test('a guest is asked to shut down before its machine is withdrawn; off is only what was asked for', async () => {
  const place = await broughtTo('running');
  // The fake's guest hears at once.
  const life = newLife(place);
  await life.session.ask({ kind: 'discard', stop: 'shutdown' });
  equal(await rest(place, life), 'over');
  ok(place.log.includes('asked its guest to shut down'));
  ok(!place.log.includes('powered its machine off'));
});

test('what stands in the way before a machine is defined waits for a person, and is tried again then', async () => {
  const place = await newPlace();
  place.host.networks.delete('lan');
  const life = newLife(place);
  await rest(place, life);
  const { waits } = placementIn(place);
  equal(waits?.reason, 'person');
  match(waits.message, /no network "lan"/);
  deepEqual(await place.rig.sessionTraces(), []);
  place.host.networks.add('lan');
  await life.session.ask({ kind: 'retry' });
  await rest(place, life);
  equal(recordOf(place).phase, 'running');
});

test('a machine whose definition was answered to a dead process is found, and withdrawn', async () => {
  for (let count = 1; ; count++) {
    const place = await broughtTo('placing');
    const first = newLife(place, { count, when: 'after' });
    const isDead = !(await survives(() => step(first)));
    const second = newLife(place);
    await survives(() => second.session.ask({ kind: 'discard', stop: 'off' }));
    equal(await rest(place, second), 'over');
    deepEqual(await place.rig.sessionTraces(), []);
    equal(machineIn(place), undefined);
    if (!isDead) return;
  }
});
