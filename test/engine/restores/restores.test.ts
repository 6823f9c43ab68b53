import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { backupMachines } from '../../../src/engine/hypervisors/machine-backup.ts';
import { add } from '../../../src/engine/hypervisors/managed.ts';
import { checkJob } from '../../../src/engine/jobs/job-checks.ts';
import { restoreMachine } from '../../../src/engine/restores/restore-machine.ts';
import { restoreMachineDisk } from '../../../src/engine/restores/restore-machine-disk.ts';
import { MiB } from '../../../src/lib/sizes.ts';
import type { RequestOf } from '../../../src/operations/operations.ts';
import type { Mishap } from '../../hypervisors/rig.ts';
import type { RunTestHost } from '../../hypervisors/run-rig.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { fakeRunHost } from '../../support/fake-hypervisor/fake-run-host.ts';
import { managedHome, NO_FILES } from '../../support/hypervisors.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

type MachineRequest = RequestOf<'restore/machine'>;
type DiskRequest = RequestOf<'restore/machine-disk'>;

/** Before each call to the host: what goes wrong with it. */
type OnCall = (name: string, count: number) => Mishap | undefined;

/** A recovery point of web1, and a hypervisor that can be another one each time. */
async function place(after: (work: () => Promise<void>) => void) {
  const home = await engineIn(temporaryDirectory());
  const first = fakeRunHost();
  const now: { rig: RunTestHost; onCall: OnCall } = { rig: first, onCall: () => undefined };
  const { hypervisors } = managedHome(() => now.rig.connect({ onCall: now.onCall }));
  let abort = new AbortController();
  const own = { ...NO_FILES, sockets: undefined, scratch: undefined, hostKey: undefined };
  const added = { hypervisor: 'kvm1', uri: 'fake:///system', ...own };
  await add(hypervisors, added, { signal: abort.signal });
  const engine = await home.open();
  after(async () => engine[Symbol.asyncDispose]());
  const disks = { vda: 2 * MiB, vdb: MiB };
  const web1 = await first.machine({ name: 'web1', disks, isOff: true });
  await web1.write('vda', 100_000, noise(300_000, 1));
  await web1.write('vdb', 0, noise(5000, 2));
  const bytes = { vda: await web1.contents('vda'), vdb: await web1.contents('vdb') };
  const notices: string[] = [];
  const options = () => ({
    ...{ hypervisors, secrets: KEY, signal: abort.signal },
    report: (event: { event: string; message?: unknown }) =>
      void (event.event === 'notice' && notices.push(String(event.message))),
  });
  const { points } = await backupMachines(
    engine,
    {
      ...{ set: 'nightly', from: ['kvm1/web1'], consistency: 'crash', strict: false },
      ...{ machine: undefined, only: undefined, exclude: undefined, window: undefined },
    },
    options(),
  );
  const { point } = points[0]!;
  const machineRequest: MachineRequest = {
    ...{ point, to: 'kvm1', name: undefined, pool: 'fast', networks: [], isolated: false },
    ...{ replace: undefined, powerOn: false, dryRun: false },
  };
  const diskRequest: DiskRequest = {
    ...{ point, disk: 'vda', to: 'kvm1', pool: 'fast', attachTo: undefined, dryRun: false },
  };
  return {
    ...{ engine, now, notices, bytes, point, hypervisors },
    /** In place of the present one, with a machine of the same name that is off. */
    async freshHost() {
      now.rig = fakeRunHost();
      now.onCall = () => undefined;
      await now.rig.machine({ name: 'web1', disks: { vda: MiB }, isOff: true });
      return now.rig;
    },
    machine: (more: Partial<MachineRequest> = {}) =>
      restoreMachine(engine, { ...machineRequest, ...more }, options()),
    disk: (more: Partial<DiskRequest> = {}) =>
      restoreMachineDisk(engine, { ...diskRequest, ...more }, options()),
    interrupt() {
      abort.abort(new Error('interrupted'));
      abort = new AbortController();
    },
    async left() {
      await using held = await hypervisors.files.restores('kvm1');
      return held.left(() => {});
    },
  };
}

async function machinesOf(rig: RunTestHost) {
  await using host = await rig.connect();
  return host.machines(new AbortController().signal);
}

test('a machine is restored under its name, or under another, in the networks that were chosen', async ({
  teardown,
}) => {
  const { now, machine, bytes, freshHost, left } = await place(teardown);
  await freshHost();
  const made = await machine({ name: 'web2', powerOn: true });
  deepEqual([made.machine, made.pool, made.started, made.replaced], ['web2', 'fast', true, null]);
  const restored = await now.rig.made(made.id!);
  for (const [name, expected] of Object.entries(bytes)) {
    equal(Buffer.compare(await restored.contents(name), expected), 0);
  }
  deepEqual([await now.rig.sessionTraces(), await left()], [[], []]);
});

test('all that stands in the way is said at once, and nothing is changed', async ({ teardown }) => {
  const { now, machine, disk, freshHost } = await place(teardown);
  await freshHost();
  const before = await machinesOf(now.rig);
  const shown = await machine({ pool: 'full', dryRun: true });
  deepEqual([shown.ready, shown.restored, shown.id === null], [false, false, false]);
  const codes = shown.findings.filter(({ level }) => level === 'blocker').map(({ code }) => code);
  deepEqual(codes.sort(), ['name', 'target-space']);
  const unknown = await machine({
    name: 'web2',
    networks: [{ name: 'lam', where: 'none' }],
    dryRun: true,
  });
  const [about] = unknown.findings.filter(({ code }) => code === 'network');
  match(about!.message, /"lam"/);
  equal(unknown.ready, false);
  await rejects(machine({ pool: 'full' }), (error: Error & { code?: string }) => {
    match(error.message, /2 conditions are not met.*"web1" exists.*pool "full"/s);
    return error.code === 'CONFLICT';
  });
  await rejects(disk({ pool: 'full' }), { code: 'NO_SPACE' });
  await rejects(disk({ disk: 'vdz' }), { code: 'NOT_FOUND' });
  await rejects(disk({ attachTo: 'nobody' }), { code: 'NOT_FOUND' });
  deepEqual([await machinesOf(now.rig), await now.rig.poolDisks()], [before, []]);
});

test('while one restore to a hypervisor runs, another is BUSY', async ({ teardown }) => {
  const { machine, freshHost, hypervisors } = await place(teardown);
  await freshHost();
  await using _held = await hypervisors.files.restores('kvm1');
  await rejects(machine({ name: 'web2' }), { code: 'BUSY' });
});

test('interrupted in the middle, a restore leaves nothing, also of a machine that was renamed', async ({
  teardown,
}) => {
  const { now, machine, freshHost, left, interrupt } = await place(teardown);
  for (const at of ['write', 'flush', 'rename', 'place file']) {
    const rig = await freshHost();
    const before = await machinesOf(rig);
    now.onCall = (name) => {
      if (name === at) interrupt();
      return undefined;
    };
    await rejects(machine({ replace: 'keep' }), /interrupted/);
    now.onCall = () => undefined;
    deepEqual([await machinesOf(rig), await rig.poolDisks(), await left()], [before, [], []], at);
  }
});

/** Something happens at every fifth call, at each kind of mishap at others. */
const STRIDE = 5;

for (const [first, mishap] of (['cut-before', 'cut-after', 'FAILED'] as const).entries()) {
  test(`${mishap} at calls of a restore: the same again, and there is one whole machine`, async ({
    teardown,
  }) => {
    const { now, machine, bytes, freshHost, left } = await place(teardown);
    for (let at = 1 + first, isOver = false; !isOver; at += STRIDE) {
      const rig = await freshHost();
      let count = 0;
      now.onCall = () => (++count === at ? mishap : undefined);
      const request = { replace: 'keep', powerOn: true } as const;
      const isWhole = await machine(request).then(
        () => true,
        () => false,
      );
      now.onCall = () => undefined;
      if (!isWhole) await machine(request);
      const [on, off, ...others] = (await machinesOf(rig)).toSorted((a, b) =>
        b.power.localeCompare(a.power),
      );
      const where = `${mishap} at call ${at}`;
      deepEqual([on?.name, on?.power, off?.power, others], ['web1', 'on', 'off', []], where);
      const restored = await rig.made(on!.id);
      equal(Buffer.compare(await restored.contents('vda'), bytes.vda), 0, where);
      deepEqual([await rig.sessionTraces(), await left()], [[], []], where);
      equal((await rig.poolDisks()).length, 2, where);
      isOver = isWhole && count < at;
    }
  });

  test(`${mishap} at calls for a disk: the same again, and the machine has it once`, async ({
    teardown,
  }) => {
    const { now, disk, bytes, freshHost, left } = await place(teardown);
    for (let at = 1 + first, isOver = false; !isOver; at += STRIDE) {
      const rig = await freshHost();
      let count = 0;
      now.onCall = () => (++count === at ? mishap : undefined);
      const request = { attachTo: 'web1' };
      const isWhole = await disk(request).then(
        () => true,
        () => false,
      );
      now.onCall = () => undefined;
      const where = `${mishap} at call ${at}`;
      if (!isWhole) equal((await disk(request)).target, 'vdb', where);
      const [machine] = await machinesOf(rig);
      const made = await rig.made(machine!.id);
      equal(Buffer.compare(await made.contents('vdb'), bytes.vda), 0, where);
      deepEqual([await rig.sessionTraces(), await left()], [[], []], where);
      equal((await rig.poolDisks()).length, 1, where);
      isOver = isWhole && count < at;
    }
  });
}

test('a machine that cannot be started is there, and its restore stays known until it runs', async ({
  teardown,
}) => {
  const { now, machine, freshHost, left } = await place(teardown);
  const rig = await freshHost();
  const request = { name: 'web2', powerOn: true } as const;
  now.onCall = (name) => (name === 'set power' ? 'FAILED' : undefined);
  for (let times = 0; times < 3; times++) {
    await rejects(machine(request), /"web2" is completely restored, but cannot be started/);
    deepEqual(
      (await left()).map(({ isWhole }) => isWhole),
      [true],
    );
  }
  now.onCall = () => undefined;
  deepEqual([(await machine(request)).started, await left()], [true, []]);
  equal((await rig.poolDisks()).length, 2);
});

test('what the hypervisor does not let go of one restore does not stop another', async ({
  teardown,
}) => {
  const { now, machine, freshHost, left, notices } = await place(teardown);
  const rig = await freshHost();
  now.onCall = (name) => (/^(place file|remove volume)$/.test(name) ? 'FAILED' : undefined);
  await rejects(machine({ name: 'web2' }), { code: 'FAILED' });
  const [record] = await left();
  now.onCall = (name) => (name === 'remove volume' ? 'FAILED' : undefined);
  notices.length = 0;
  equal((await machine({ name: 'web3' })).restored, true);
  match(notices.join('\n'), new RegExp(`the restore ${record!.id} has left on kvm1 stays there`));
  deepEqual(await left(), [record]);
  // The same one would begin on what it has left.
  await rejects(machine({ name: 'web2' }), { code: 'FAILED' });
  now.onCall = () => undefined;
  equal((await machine({ name: 'web2' })).restored, true);
  deepEqual([await left(), (await rig.poolDisks()).length], [[], 4]);
});

test('a job names its recovery point when it is made, whatever is newer when it runs', async ({
  teardown,
}) => {
  const { engine, point, hypervisors } = await place(teardown);
  ok(hypervisors);
  const request: MachineRequest = {
    ...{ point: 'web1@latest', to: 'kvm9', name: undefined, pool: undefined },
    ...{ networks: [], isolated: false, replace: undefined, powerOn: false, dryRun: false },
  };
  ok(point);
  // A hypervisor that is not known is refused then, not at night.
  const job = { kind: 'restore-machine', request } as const;
  await rejects(checkJob(engine, job, { secrets: KEY }), { code: 'NOT_FOUND' });
});
