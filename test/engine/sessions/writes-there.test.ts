import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import {
  MIGRATE,
  type PlacedHome,
  placedHome,
  type PlacedService,
  RUN,
} from '../../support/placed-service.ts';
import { noise } from '../../support/random.ts';
import { until } from '../../support/until.ts';

// Machines whose guests write to the storage of their hypervisor, over what the session serves.

async function run(
  home: PlacedHome,
  { ask, options }: PlacedService,
  more: Partial<typeof RUN> = {},
) {
  const wish = { ...RUN, writes: 'there' as const, ...more };
  return ask['session/run']({ ...wish, points: [home.point] }, options);
}

/** As its guest: to the only machine that is on. */
async function write(home: PlacedHome, seed: number) {
  const { id } = [...home.host.machines.values()].find(({ power }) => power === 'on')!;
  const guest = await home.rig.made(id);
  await guest.write('vda', 4096 * seed, noise(512, seed));
  return { id, contents: () => guest.contents('vda') };
}

test('what a guest writes is on its hypervisor alone: it is not kept, and migrates with it', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options } = service;
  const { sessions, findings } = await run(home, service);
  const { session } = sessions[0]!;
  ok(findings.some(({ message }) => /kept in the pool "fast" of kvm1, and not here/.test(message)));
  const guest = await write(home, 1);
  equal((await home.rig.poolDisks()).length, 2);
  const { placed, overlay } = await ask['session/show']({ session }, options);
  deepEqual([placed?.writes, placed?.pool, overlay?.writtenBytes], ['there', 'fast', 0]);
  const keep = ask['session/keep']({ session, stop: undefined }, options);
  await rejects(keep, /is on the hypervisor, and nothing of it is here to be kept\. Migrate it/);
  const other = ask['session/migrate']({ ...MIGRATE, session, pool: 'full' }, options);
  await rejects(other, /its disks are in the pool "fast".*omit --pool/);
  const state = async () => (await ask['session/show']({ session }, options)).state;
  equal(await state(), 'running');
  const written = await guest.contents();
  await ask['session/migrate']({ ...MIGRATE, session }, options);
  await until('the session is gone', async () => {
    const listed = await ask['session/list']({}, options);
    return listed.sessions.length === 0;
  });
  deepEqual(await guest.contents(), written);
  deepEqual(await home.rig.sessionTraces(), []);
  equal((await home.rig.poolDisks()).length, 2);
});

test('discarding it removes what its guest wrote there, also where the machine is gone', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options } = service;
  for (const isGone of [false, true]) {
    const { session } = (await run(home, service)).sessions[0]!;
    const { id } = await write(home, 1);
    if (isGone) {
      home.host.machines.delete(id);
      await until('it waits', async () => {
        const { placed } = await ask['session/show']({ session }, options);
        return placed?.waits?.reason === 'machine-gone';
      });
      const { waits } = await ask['session/show']({ session }, options);
      match(waits!, /What the machine wrote is in the pool there, and not here/);
    }
    await ask['session/discard']({ session, stop: undefined }, options);
    deepEqual([await home.rig.poolDisks(), await home.rig.sessionTraces()], [[], []]);
  }
});

test('a machine that has no space there is resumed once there is some, and not all the time', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const { ask, options } = service;
  const { session } = (await run(home, service)).sessions[0]!;
  const { id } = await write(home, 1);
  const machine = home.host.machines.get(id)!;
  let resumed = 0;
  let isFull = true;
  Object.defineProperty(machine, 'isFull', {
    get: () => isFull,
    set(next: boolean) {
      if (!next) resumed++;
    },
  });
  await until('it waits for space', async () => {
    const { placed } = await ask['session/show']({ session }, options);
    return placed?.waits?.reason === 'no-space';
  });
  const { placed, waits } = await ask['session/show']({ session }, options);
  equal(placed?.power, 'paused-space');
  match(waits!, /no space left for what its guest writes\. Make space in the pool "fast"/);
  equal(resumed, 1);
  isFull = false;
  await ask['session/retry']({ session }, options);
  await until('it waits no longer', async () => {
    const shown = await ask['session/show']({ session }, options);
    return shown.placed?.waits === null && shown.placed.power === 'on';
  });
});

test('without a pool that takes what its guest writes, nothing is changed', async () => {
  const home = await placedHome();
  await using service = await home.service();
  const refused = async (more: Partial<typeof RUN>, why: RegExp): Promise<void> => {
    await rejects(run(home, service, more), why);
    deepEqual([await home.rig.poolDisks(), await home.rig.sessionTraces()], [[], []]);
  };
  await refused({ pool: 'none' }, /no active pool "none"/);
  await refused({ pool: 'full', migrate: 'auto' }, /pool "full" has no/);
});
