import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openPoint } from '../../../src/engine/base/engine.ts';
import { backupMachines } from '../../../src/engine/hypervisors/machine-backup.ts';
import { add } from '../../../src/engine/hypervisors/managed.ts';
import { capacityFindings, spaceFindings } from '../../../src/engine/run-plan/own-side.ts';
import { planRuns, possibleRuns } from '../../../src/engine/run-plan/plan-runs.ts';
import { pointsOfRun } from '../../../src/engine/run-plan/points-of-run.ts';
import type { RunWish } from '../../../src/engine/run-plan/run-wish.ts';
import type { CapacityRecord } from '../../../src/formats/store/service/capacity.ts';
import type { SessionRecord } from '../../../src/formats/store/sessions/session.ts';
import type { Finding } from '../../../src/hypervisors/base/finding.ts';
import { MiB } from '../../../src/lib/sizes.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import type { FakeHost } from '../../support/fake-hypervisor/host.ts';
import { fakeRunHost } from '../../support/fake-hypervisor/fake-run-host.ts';
import { managedHome, NO_FILES } from '../../support/hypervisors.ts';
import { placedRecord } from '../../support/placed-session.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const WISH: RunWish = {
  ...{ name: undefined, pool: 'fast', networks: {}, isIsolated: false, powerOn: true },
  writes: 'here',
  ...{ migrate: 'later', migrateAfter: undefined, replace: undefined },
};
const { signal } = new AbortController();

/** A recovery point of a machine of a fake host, whose disks are vda and vdb. */
async function place(after: (work: () => Promise<void>) => void) {
  const home = await engineIn(temporaryDirectory());
  const rig = fakeRunHost();
  const old = await rig.machine({ name: 'web1', disks: { vda: MiB, vdb: MiB }, isOff: true });
  const { hypervisors } = managedHome(() => rig.connect());
  const own = { ...NO_FILES, sockets: undefined, scratch: undefined, hostKey: undefined };
  await add(hypervisors, { hypervisor: 'kvm1', uri: 'fake:///system', ...own }, { signal });
  const engine = await home.open();
  after(async () => engine[Symbol.asyncDispose]());
  const { points } = await backupMachines(
    engine,
    {
      ...{ set: 'nightly', from: ['kvm1/*'], consistency: 'crash', strict: false },
      ...{ machine: undefined, only: undefined, exclude: undefined, window: undefined },
    },
    { hypervisors, secrets: KEY, signal, report() {} },
  );
  const host = await rig.connect();
  const made = points[0]!.point;
  async function planned(wish: Partial<RunWish> = {}, more: Partial<Asked> = {}) {
    const { sessions = [], times = 1, capacity } = more;
    const opened = await openPoint(engine, made, KEY);
    const asked = {
      hypervisor: 'kvm1',
      host,
      run: host.run!,
      wish: { ...WISH, ...wish },
      sessions,
      capacity,
    };
    const plan = await planRuns(
      engine.store,
      { ...asked, points: Array<typeof opened>(times).fill(opened) },
      signal,
    );
    const placements = possibleRuns(plan);
    const findings = [...plan.findings, ...plan.runs.flatMap((it) => it.findings)];
    return { placement: plan.runs[0]!.placement, findings, placements };
  }
  return { engine, rig, old, planned, made };
}

interface Asked {
  readonly sessions: readonly SessionRecord[];
  /** How often the point is run. */
  readonly times: number;
  readonly capacity: CapacityRecord;
}

const words = (findings: readonly Finding[]) =>
  findings.map(({ level, code }) => `${level} ${code}`);

test('a run is planned without an effect: which machine, on which disks, with nothing in its way', async ({
  teardown,
}) => {
  const { rig, old, planned } = await place(teardown);
  const plan = await planned({ replace: 'keep' });
  deepEqual(words(plan.findings), ['note machine-id']);
  equal(plan.placements?.length, 1);
  const { placement } = plan;
  deepEqual(placement!.plan.replaces, { machine: old.id, afterwards: 'keep' });
  deepEqual(
    placement!.disks.map(({ name, place: where }) => [name, where]),
    [
      ['vda', undefined],
      ['vdb', undefined],
    ],
  );
  deepEqual([await rig.sessionTraces(), await rig.poolDisks()], [[], []]);
});

test("the hypervisor's own findings are among those of the options, and none is there twice", async ({
  teardown,
}) => {
  const { planned } = await place(teardown);
  const plan = await planned({ pool: 'full', migrate: 'auto', networks: { lan: null } });
  deepEqual(words(plan.findings), [
    'blocker network',
    'blocker name',
    'note machine-id',
    'blocker target-space',
  ]);
  equal(plan.placements, undefined);
  // Where it may never move, too little space is no obstacle.
  const later = await planned({ pool: 'full', name: 'new' });
  deepEqual(words(later.findings), ['note machine-id', 'warning target-space']);
  equal(later.placements?.length, 1);
});

test('what a session has, or will have, is taken; on another hypervisor it is not', async ({
  teardown,
}) => {
  const { planned } = await place(teardown);
  const { placement } = await planned({ name: 'new' });
  const session = { ...placedRecord('running'), placement };
  const taken = ['blocker name', 'note machine-id'];
  deepEqual(words((await planned({ name: 'new' }, { sessions: [session] })).findings), taken);
  const elsewhere = { ...session, placement: { ...placement!, hypervisor: 'kvm2' } };
  deepEqual(words((await planned({ name: 'new' }, { sessions: [elsewhere] })).findings), [
    'note machine-id',
  ]);
});

test('several machines: what one takes is taken for the next, and all have room together or none', async ({
  teardown,
}) => {
  const { rig, planned } = await place(teardown);
  const { host } = rig as unknown as { host: FakeHost };
  const asked = { replace: 'keep', migrate: 'auto', networks: { typo: 'lan' } } as const;
  // For one of them.
  host.pools.set('fast', 3 * MiB);
  const { findings } = await planned(asked, { times: 2 });
  deepEqual(words(findings), [
    'blocker network',
    'blocker target-space',
    'note capacity',
    'note machine-id',
    'blocker name',
    'note machine-id',
  ]);
  // Only by and by, where their guests write there; not at all where they write here.
  const later = { replace: 'keep', migrate: 'later', pool: 'fast' } as const;
  const there = await planned({ ...later, writes: 'there' }, { times: 2 });
  const space = there.findings.filter(({ code }) => code === 'target-space');
  deepEqual(words(space), ['warning target-space']);
  match(space[0]!.message, /together they need 4\.00 MiB in the end/);
  const here = await planned({ ...later, writes: 'here' }, { times: 2 });
  ok(here.findings.every(({ code }) => code !== 'target-space'));
  host.pools.set('fast', 4 * MiB);
  const enough = await planned({ ...later, writes: 'there' }, { times: 2 });
  ok(enough.findings.every(({ code }) => code !== 'target-space'));
  const named = await planned({ name: 'new' }, { times: 2 });
  match(named.findings[0]!.message, /one name was given for several/);
});

test('the points of one backup of several machines are found by its run, in its order', async ({
  teardown,
}) => {
  const { engine, made } = await place(teardown);
  const { point } = await openPoint(engine, made, KEY);
  deepEqual(await pointsOfRun(engine, point.run!), [made]);
  await rejects(pointsOfRun(engine, 'run-20260101T000000Z-aabbcc'), { code: 'NOT_FOUND' });
});

test('a point whose description is lost cannot be run, and says what can be done with its disks', async ({
  teardown,
}) => {
  const { engine, planned } = await place(teardown);
  rmSync(join(engine.store.directory, 'packs'), { recursive: true });
  const plan = await planned();
  equal(plan.placement, undefined);
  const blocker = plan.findings.find(({ level }) => level === 'blocker');
  deepEqual([blocker?.code, plan.placements], ['recovery-point', undefined]);
  match(blocker!.remedy!, /holdfast recover/);
});

test('before several machines start, it is said how many this box was measured to carry', async () => {
  const capacity: CapacityRecord = {
    ...{
      measured: '2026-11-30T10:00:00Z',
      release: '1',
      set: 'nightly',
      machine: 'web1',
      point: 'p',
    },
    ...{ accelerator: 'kvm', processors: 2, memoryBytes: 512 * MiB },
    ...{ carries: 3, limit: 'reads', steps: [] },
  };
  const running = placedRecord('running');
  const ended = placedRecord('cleaning');
  const none = capacityFindings(2, { capacity: undefined, sessions: [] });
  deepEqual(
    [words(none), none[0]!.remedy],
    [['note capacity'], 'measure it: "holdfast verify measure POINT"'],
  );
  const enough = capacityFindings(2, { capacity, sessions: [running, ended] });
  deepEqual(words(enough), ['note capacity']);
  match(enough[0]!.message, /carried 3 of web1 at once \(measured 2026-11-30\)/);
  const tooMany = capacityFindings(3, { capacity, sessions: [running, ended] });
  deepEqual(words(tooMany), ['warning capacity']);
  match(tooMany[0]!.message, /3 would run, with 1 in other sessions/);
});

test('only the space is asked for that guests really write', async () => {
  deepEqual(spaceFindings(1024 * MiB, 1), []);
  deepEqual(words(spaceFindings(1024 * MiB, 2)), ['warning overlay-space']);
  deepEqual(words(spaceFindings(63 * MiB, 1)), ['blocker overlay-space']);
});
