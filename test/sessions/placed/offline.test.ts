import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { Mishap } from '../../hypervisors/rig.ts';
import { noise } from '../../support/random.ts';
import { broughtTo, writeAsGuest } from './every-case.ts';
import {
  contentsHere,
  type Life,
  machineIn,
  newLife,
  placementIn,
  type Place,
  recordOf,
  rest,
  step,
} from './rig.ts';

/* A machine moves while it is off. */

async function off(): Promise<Place> {
  const place = await broughtTo('running');
  machineIn(place)!.power = 'off';
  return place;
}

const asked = (start: boolean, stop?: 'shutdown' | 'off') =>
  ({ kind: 'move', offline: { start, stop } }) as const;

async function contentsThere(place: Place): Promise<Record<string, Uint8Array>> {
  const guest = await place.rig.made(machineIn(place)!.id);
  return { vda: await guest.contents('vda'), vdb: await guest.contents('vdb') };
}

/** What happens as soon as the hypervisor is asked for that. */
function when(place: Place, call: string, happens: (place: Place) => unknown): Life {
  let isOver = false;
  return newLife(place, undefined, (_, name): Mishap | undefined => {
    if (name !== call || isOver) return undefined;
    isOver = true;
    void happens(place);
    return undefined;
  });
}

/** A person starts it, and its guest writes. Returns whether that was acknowledged. */
async function startsAndWrites(place: Place): Promise<boolean> {
  const machine = machineIn(place)!;
  machine.power = 'on';
  const guest = await place.rig.made(machine.id);
  await guest.write('vda', 0, noise(512, 77));
  return !machine.hasIoError;
}

for (const start of [false, true]) {
  test(`a machine that is off moves as it is, and ${start ? 'is started' : 'stays off'}`, async () => {
    const place = await off();
    const before = await contentsHere(place);
    const life = newLife(place);
    await life.session.ask(asked(start));
    equal(await rest(place, life), 'over');
    deepEqual(await contentsThere(place), before);
    deepEqual(
      [machineIn(place)!.power, machineIn(place)!.session],
      [start ? 'on' : 'off', undefined],
    );
    deepEqual(place.phases.slice(-5), ['copying', 'pivoting', 'settling', 'leaving', 'cleaning']);
    ok(place.isCleaned);
  });
}

test('a machine that runs is stopped only where that was asked for', async () => {
  const place = await broughtTo('running');
  const life = newLife(place);
  await life.session.ask(asked(true));
  equal(await rest(place, life), 'waits');
  match(placementIn(place).waits!.message, /not off: its disks move once it is/);
  equal(machineIn(place)!.power, 'on');
  await writeAsGuest(place, 5);
  ok(!machineIn(place)!.hasIoError, 'it writes as before');
  await life.session.ask(asked(false, 'shutdown'));
  const before = await contentsHere(place);
  equal(await rest(place, life), 'over');
  deepEqual(await contentsThere(place), before);
  // As was asked for first, when it ran.
  equal(machineIn(place)!.power, 'on');
});

test('a guest that is started in the middle writes nothing that the copy lacks', async () => {
  const place = await off();
  let acknowledged: Promise<boolean> | undefined;
  const life = when(place, 'flush', () => (acknowledged = startsAndWrites(place)));
  await life.session.ask(asked(false));
  equal(await rest(place, life), 'waits');
  equal(await acknowledged, false);
  match(placementIn(place).waits!.message, /not off/);
  equal(recordOf(place).phase, 'copying');
  // It runs on, as any other machine, and what it writes from now on moves too.
  await (await place.rig.made(machineIn(place)!.id)).write('vda', 0, noise(512, 78));
  ok(!machineIn(place)!.hasIoError);
  machineIn(place)!.power = 'off';
  const before = await contentsHere(place);
  equal(await rest(place, life), 'over');
  deepEqual(await contentsThere(place), before);
});

test('a process that finds the copy whole lets nothing be written either, and goes on', async () => {
  const place = await off();
  const first = newLife(place);
  await first.session.ask(asked(true));
  while (recordOf(place).phase !== 'pivoting') await step(first);
  const before = await contentsHere(place);
  const second = newLife(place);
  equal(await startsAndWrites(place), false);
  equal(await rest(place, second), 'over');
  deepEqual(await contentsThere(place), before);
  match(place.log.join('\n'), /powered its machine off, which was started while its disks moved/);
});

test('a canceled move leaves the machine where it was, and does not use what was written there', async () => {
  const place = await off();
  let life: Life;
  let canceled: Promise<void> | undefined;
  life = when(place, 'write', () => (canceled = life.session.ask({ kind: 'cancel-move' })));
  await life.session.ask(asked(false));
  await step(life);
  await canceled;
  equal(recordOf(place).phase, 'running');
  equal(await rest(place, life), 'waits');
  await life.session.power('on');
  await writeAsGuest(place, 6);
  ok(!machineIn(place)!.hasIoError);
  const before = await contentsHere(place);
  const next = newLife(place);
  await next.session.ask({ kind: 'move' });
  equal(await rest(place, next), 'over');
  const removed = next.effects.indexOf('remove volume');
  ok(removed >= 0 && removed < next.effects.indexOf('copy'), next.effects.join());
  deepEqual(await contentsThere(place), before);
});

test('while its disks are written it waits for nothing, and what is asked in vain does not interrupt it', async () => {
  const place = await broughtTo('running');
  const seen: (string | undefined)[] = [];
  const asks: Promise<unknown>[] = [];
  let life: Life;
  life = when(place, 'write', () => {
    seen.push(placementIn(place).waits?.message);
    const { session } = life;
    asks.push(
      rejects(session.ask({ kind: 'abandon', name: 'another' }), /it does not wait/),
      session.ask({ kind: 'retry' }),
      session.ask(asked(true)),
    );
  });
  await life.session.ask(asked(false, 'shutdown'));
  while (machineIn(place)!.power !== 'off') await step(life);
  match(placementIn(place).waits!.message, /was asked to shut down/);
  const before = life.effects.length;
  equal(await rest(place, life), 'over');
  await Promise.all(asks);
  deepEqual(seen, [undefined]);
  const made = life.effects.slice(before).filter((it) => it === 'make volume');
  equal(made.length, 2, 'each disk was begun once');
  equal(machineIn(place)!.power, 'on', 'the last wish counts');
});

test('a write that is held for space does not keep a session from being discarded', async () => {
  const place = await off();
  place.held = new Promise(() => {});
  const life = newLife(place);
  await life.session.ask(asked(false));
  const stepping = step(life);
  await place.clock.advance(10_000);
  await stepping;
  match(placementIn(place).waits!.message, /writes of its guest are still held here/);
  const again = step(life);
  await place.clock.advance(1);
  await life.session.ask({ kind: 'discard' });
  await again;
  equal(await rest(place, life), 'over');
  ok(place.isCleaned);
});

test('a machine that cannot be resumed is powered off where that was asked for', async () => {
  const place = await broughtTo('running');
  const machine = machineIn(place)!;
  const life = newLife(place, undefined, (_, name) => (name === 'start' ? 'FAILED' : undefined));
  machine.hasIoError = true;
  await life.session.ask(asked(false, 'off'));
  equal(await rest(place, life), 'over');
});

test('a machine that a person starts while its disks are switched is started again', async () => {
  const place = await off();
  const life = newLife(place);
  await life.session.ask(asked(false));
  while (recordOf(place).phase !== 'pivoting') await step(life);
  machineIn(place)!.power = 'on';
  equal(await rest(place, life), 'over');
  equal(machineIn(place)!.power, 'on');
});

test('a person who would rather have it move while it runs cancels nothing first', async () => {
  const place = await broughtTo('running');
  const life = newLife(place);
  await life.session.ask(asked(true));
  equal(await rest(place, life), 'waits');
  await life.session.ask({ kind: 'move' });
  equal(placementIn(place).offline, undefined);
  equal(await rest(place, life), 'over');
  equal(machineIn(place)!.power, 'on');
});

test('while its disks are written, its machine is not started from here', async () => {
  const place = await off();
  let refused: Promise<void> | undefined;
  let life: Life;
  life = when(place, 'write', () => {
    refused = rejects(life.session.power('on'), /cancel that first/);
  });
  await life.session.ask(asked(false));
  const stepping = step(life);
  await stepping;
  await refused;
});

test('where the hypervisor refuses the disks, the machine is as it was, and a person knows why', async () => {
  const place = await off();
  const failing = newLife(place, undefined, (_, name) =>
    name === 'switch' ? 'DENIED' : undefined,
  );
  await failing.session.ask(asked(false));
  equal(await rest(place, failing), 'waits');
  deepEqual([recordOf(place).phase, placementIn(place).offline], ['running', undefined]);
  equal(placementIn(place).waits?.reason, 'person');
  match(placementIn(place).waits!.message, /its disks have not moved/);
  equal(await startsAndWrites(place), true);
});

test('what a guest writes over a snapshot that was made there is neither thrown away nor left out', async () => {
  const place = await broughtTo('running');
  const guest = await place.rig.made(machineIn(place)!.id);
  await guest.addLayer('vda');
  const keeping = newLife(place);
  await keeping.session.ask({ kind: 'keep', as: 'kept', stop: 'off' });
  equal(await rest(place, keeping), 'waits');
  match(
    placementIn(place).waits!.message,
    /has a snapshot over its disk vda, .*commit the snapshot/,
  );
  equal(machineIn(place)!.power, 'on');

  const other = await off();
  const covered = await other.rig.made(machineIn(other)!.id);
  await covered.addLayer('vda');
  const moving = newLife(other);
  await moving.session.ask(asked(false));
  equal(await rest(other, moving), 'waits');
  match(placementIn(other).waits!.message, /its disks have not moved: .*a snapshot over/);
});

/** Its copy is whole, and its definition is not changed yet. */
async function switching(before?: (place: Place) => unknown): Promise<Place> {
  const place = await off();
  await before?.(place);
  const life = newLife(place);
  await life.session.ask(asked(false));
  while (recordOf(place).phase !== 'pivoting') await step(life);
  return place;
}

test('a move that was canceled before its disks were switched leaves the machine where it was', async () => {
  const place = await switching();
  const life = newLife(place);
  await life.session.ask({ kind: 'cancel-move' });
  equal(await rest(place, life), 'waits');
  deepEqual([recordOf(place).phase, placementIn(place).offline], ['running', undefined]);
  deepEqual([placementIn(place).goal, placementIn(place).waits], ['run', undefined]);
  equal(await startsAndWrites(place), true);
});

test('while the hypervisor is away before its disks were switched, the move is taken back, or goes on', async () => {
  for (const [wish, isBack] of [
    ['cancel-move', true],
    ['move', false],
  ] as const) {
    const place = await switching();
    await place.rig.setUp(false);
    const life = newLife(place);
    await step(life);
    equal(placementIn(place).waits?.reason, 'away');
    await life.session.ask({ kind: 'cancel-move' });
    await step(life);
    equal(recordOf(place).phase, 'pivoting', 'only the hypervisor knows whether it has moved');
    await life.session.ask({ kind: wish });
    await place.rig.setUp(true);
    equal(await rest(place, life), isBack ? 'waits' : 'over');
    ok(place.phases.includes('settling') !== isBack);
  }
});

for (const end of ['discard', 'keep'] as const) {
  test(`a session whose machine was about to move can be ended by ${end}`, async () => {
    const place = await switching();
    const before = await contentsHere(place);
    const life = newLife(place);
    await life.session.ask(end === 'keep' ? { kind: 'keep', as: 'p1' } : { kind: 'discard' });
    equal(await rest(place, life), 'over');
    ok(!place.phases.includes('settling'));
    equal(machineIn(place)?.session, undefined);
    deepEqual(await place.rig.sessionTraces(), []);
    if (end === 'keep') deepEqual(place.kept.get('p1'), before);
  });
}

test('what is asked while the disks are switched does not bring a machine back that has moved', async () => {
  const place = await switching();
  const before = await contentsHere(place);
  let asking: Promise<void> | undefined;
  let life: Life;
  life = when(place, 'switch', () => {
    asking = life.session.ask({ kind: 'discard' });
  });
  await step(life);
  await asking;
  equal(await rest(place, life), 'over');
  deepEqual(await contentsThere(place), before);
  ok(place.phases.includes('settling'));
  match(place.log.join('\n'), /had moved already/);
});

test('a write that is held for space while the disks are switched does not hold the session', async () => {
  const place = await switching();
  place.held = new Promise(() => {});
  const life = newLife(place);
  await life.session.ask({ kind: 'cancel-move' });
  await step(life);
  equal(recordOf(place).phase, 'running');
});
