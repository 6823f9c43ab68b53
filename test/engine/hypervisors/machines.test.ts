import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { machines } from '../../../src/engine/hypervisors/machines.ts';
import { readiness } from '../../../src/engine/hypervisors/readiness.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type { Report } from '../../../src/operations/events.ts';
import { engineIn } from '../../support/engine.ts';
import { fakeHypervisor } from '../../support/fake-hypervisor/fake-hypervisor.ts';
import { NO_FILES, managedHome, WORK } from '../../support/hypervisors.ts';
import { makeRawDisk } from '../../support/images.ts';
import { until } from '../../support/until.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { add } from '../../../src/engine/hypervisors/managed.ts';

const root = temporaryDirectory();
const home = await engineIn(root);
const image = join(root, 'disk.raw');
makeRawDisk(image, 2 ** 20, 10);

const QUIET = { ...WORK, report: () => {} };

async function fakeHome() {
  const fake = fakeHypervisor();
  const { hypervisors, opened } = managedHome(({ owner }) => fake.connect({ owner }));
  const usual = { ...NO_FILES, hostKey: undefined, sockets: undefined, scratch: undefined };
  await add(hypervisors, { ...usual, hypervisor: 'kvm1', uri: 'fake:///system' }, WORK);
  return { fake, hypervisors, opened };
}

test('machines are listed with their newest recovery points', async () => {
  const { fake, hypervisors, opened } = await fakeHome();
  for (const name of ['web2', 'web1', 'db']) await fake.machine({ name, disks: { vda: 2 ** 20 } });
  await home.backUp('web1', image);
  // Names of points count seconds.
  const second = (): number => Math.floor(Date.now() / 1000);
  const first = second();
  await until('the next second', () => second() > first);
  const { point } = await home.backUp('web1', image);
  await home.backUp('web', image);
  await using engine = await home.open();
  const asked = { hypervisor: 'kvm1', machine: undefined, check: false };
  const { product, machines: found } = await machines(hypervisors, engine, asked, QUIET);
  equal(product, 'Fake 1.0');
  deepEqual(
    found.map(({ machine, power, last }) => [machine, power, last?.point ?? null]),
    [
      ['db', 'on', null],
      ['web1', 'on', point],
      ['web2', 'on', null],
    ],
  );
  deepEqual(found[1]!.disks, null, 'none is examined');
  equal(opened[0]!.owner, engine.store.id);
});

test('its pools and networks are listed, and an account that may not see them sees the machines', async () => {
  const { fake, hypervisors } = await fakeHome();
  await fake.machine({ name: 'web', disks: { vda: 512 } });
  await using engine = await home.open();
  const asked = { hypervisor: 'kvm1', machine: undefined, check: false };
  for (const [places, shown] of [
    [
      async () => ({ pools: [{ name: 'fast', free: 5, size: 9 }], networks: ['lan'] }),
      { pools: [{ pool: 'fast', free: 5 }], networks: ['lan'] },
    ],
    [() => Promise.reject(new HypervisorError('DENIED', 'no right')), null],
  ] as const) {
    const drivers = hypervisors.drivers.map((driver) => ({
      ...driver,
      async open(...args: Parameters<typeof driver.open>) {
        const it = await driver.open(...args);
        return { ...it, run: { ...it.run!, places } };
      },
    }));
    const answer = await machines({ ...hypervisors, drivers }, engine, asked, QUIET);
    deepEqual(answer.places, shown);
    equal(answer.machines.length, 1);
  }
});

test('a check names the disks, their size and whatever stands in the way of a backup', async () => {
  const { fake, hypervisors } = await fakeHome();
  const disks = { vda: 2 ** 30, vdb: 2 ** 20 };
  const web = await fake.machine({ name: 'web', disks, excluded: ['sda'], hasAgent: false });
  await web.makeInternalSnapshot();
  await fake.machine({ name: 'db', disks: { vda: 2 ** 30 } });
  await using engine = await home.open();
  const asked = { hypervisor: 'kvm1', machine: undefined, check: true };
  const { machines: found } = await machines(hypervisors, engine, asked, QUIET);
  const [db, checked] = found;
  deepEqual(
    checked!.disks!.map(({ disk, size, excluded }) => [disk, size, excluded !== null]),
    [
      ['vda', 2 ** 30, false],
      ['vdb', 2 ** 20, false],
      ['sda', 0, true],
    ],
  );
  deepEqual([checked!.bytes, checked!.seconds], [2 ** 30 + 2 ** 20, 11]);
  const bad = checked!.findings!.filter(({ level }) => level !== 'ok');
  deepEqual(
    ['agent', 'snapshots'].filter((code) => !bad.some((it) => it.code === code)),
    [],
  );
  for (const { message, remedy } of bad) match(remedy!, /\w/, message);
  deepEqual(
    db!.findings!.filter(({ level }) => level !== 'ok'),
    [],
  );
  const one = await readiness(
    hypervisors,
    home.open,
    { hypervisor: 'kvm1', machine: 'web' },
    WORK.signal,
  );
  deepEqual(
    one.findings.filter(({ level }) => level !== 'ok').map(({ code }) => code),
    bad.map(({ code }) => code),
  );
});

test('a machine that goes away while all are examined does not hide the others', async () => {
  const { fake, hypervisors } = await fakeHome();
  const gone = await fake.machine({ name: 'gone', disks: { vda: 512 } });
  await fake.machine({ name: 'stays', disks: { vda: 512 } });
  await using engine = await home.open();
  const { drivers } = hypervisors;
  const leaving = {
    ...hypervisors,
    drivers: drivers.map((driver) => ({
      ...driver,
      async open(...args: Parameters<typeof driver.open>) {
        const it = await driver.open(...args);
        return {
          ...it,
          async machines(signal: AbortSignal) {
            const all = await it.machines(signal);
            await gone.undefine();
            return all;
          },
        };
      },
    })),
  };
  const asked = { hypervisor: 'kvm1', machine: undefined, check: true };
  const { machines: found } = await machines(leaving, engine, asked, QUIET);
  deepEqual(
    found.map(({ machine, disks, findings }) => [machine, disks?.length, findings![0]?.level]),
    [
      ['gone', undefined, 'blocker'],
      ['stays', 1, undefined],
    ],
  );
});

test('one machine is examined alone, by its name or ID', async () => {
  const { fake, hypervisors } = await fakeHome();
  const web = await fake.machine({ name: 'web', disks: { vda: 2 ** 20 } });
  await fake.machine({ name: 'db', disks: { vda: 2 ** 20 } });
  await using engine = await home.open();
  for (const machine of ['web', web.id]) {
    const asked = { hypervisor: 'kvm1', machine, check: true };
    const { machines: found } = await machines(hypervisors, engine, asked, QUIET);
    deepEqual(
      found.map((it) => [it.machine, it.disks?.map(({ disk }) => disk)]),
      [['web', ['vda']]],
    );
  }
  const asked = { hypervisor: 'kvm1', machine: 'mail', check: false };
  await rejects(machines(hypervisors, engine, asked, QUIET), { code: 'NOT_FOUND' });
});

test('a check of many machines shows how far it is, and can be interrupted', async () => {
  const { fake, hypervisors } = await fakeHome();
  for (let i = 0; i < 20; i++) await fake.machine({ name: `web${i}`, disks: { vda: 2 ** 20 } });
  await using engine = await home.open();
  const asked = { hypervisor: 'kvm1', machine: undefined, check: true };
  const reported: string[] = [];
  const report: Report = (it) => {
    if (it.event === 'progress') reported.push(`${it.phase} ${it.position}/${it.total}`);
  };
  const whole = await machines(hypervisors, engine, asked, { ...WORK, report });
  equal(whole.machines.length, 20);
  deepEqual(reported, ['machines 0/20', 'machines 8/20', 'machines 16/20']);
  const leaving = new AbortController();
  const leave: Report = (it) => {
    if (it.event === 'progress' && it.position === 8) leaving.abort(new Error('enough'));
  };
  const left = machines(hypervisors, engine, asked, { signal: leaving.signal, report: leave });
  await rejects(left, { message: 'enough' });
});
