import { deepEqual, equal, match } from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openPoint } from '../../../src/engine/base/engine.ts';
import { backupMachines } from '../../../src/engine/hypervisors/machine-backup.ts';
import { add } from '../../../src/engine/hypervisors/managed.ts';
import { spaceFindings } from '../../../src/engine/run-plan/own-side.ts';
import { isPossible, planRun, type RunAsked } from '../../../src/engine/run-plan/plan-run.ts';
import type { RunWish } from '../../../src/engine/run-plan/run-wish.ts';
import type { Finding } from '../../../src/hypervisors/base/finding.ts';
import { MiB } from '../../../src/lib/sizes.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { fakeRunHost } from '../../support/fake-hypervisor/fake-run-host.ts';
import { managedHome, NO_FILES } from '../../support/hypervisors.ts';
import { placedRecord } from '../../support/placed-session.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const WISH: RunWish = {
  ...{ name: undefined, pool: 'fast', networks: {}, isIsolated: false, powerOn: true },
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
  async function planned(wish: Partial<RunWish> = {}, more: Partial<RunAsked> = {}) {
    const { set, point } = await openPoint(engine, points[0]!.point, KEY);
    return planRun(
      engine,
      {
        ...{ set, point, hypervisor: 'kvm1', host, wish: { ...WISH, ...wish } },
        ...{ sessions: [], before: [], run: undefined, ...more },
      },
      signal,
    );
  }
  return { engine, rig, old, planned, point: points[0]!.point };
}

const words = (findings: readonly Finding[]) =>
  findings.map(({ level, code }) => `${level} ${code}`);

test('a run is planned without an effect: which machine, on which disks, with nothing in its way', async ({
  teardown,
}) => {
  const { rig, old, planned } = await place(teardown);
  const plan = await planned({ replace: 'keep' });
  deepEqual(words(plan.findings), ['note machine-id']);
  equal(isPossible(plan), true);
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
    'blocker name',
    'note machine-id',
    'blocker network',
    'blocker target-space',
  ]);
  equal(isPossible(plan), false);
  // Where it may never move, too little space is no obstacle.
  const later = await planned({ pool: 'full', name: 'new' });
  deepEqual(words(later.findings), ['note machine-id', 'warning target-space']);
  equal(isPossible(later), true);
});

test('the same point twice: what the first run will take is taken', async ({ teardown }) => {
  const { planned } = await place(teardown);
  const first = await planned({ name: 'new' });
  const second = await planned({ name: 'new' }, { before: [first.placement!] });
  deepEqual(words(second.findings), ['blocker name', 'note machine-id']);
  const session = { ...placedRecord('running'), placement: first.placement };
  deepEqual(words((await planned({ name: 'new' }, { sessions: [session] })).findings), [
    'blocker name',
    'note machine-id',
  ]);
  const elsewhere = { ...session, placement: { ...first.placement!, hypervisor: 'kvm2' } };
  deepEqual(words((await planned({ name: 'new' }, { sessions: [elsewhere] })).findings), [
    'note machine-id',
  ]);
});

test('a point whose description is lost cannot be run, and says what can be done with its disks', async ({
  teardown,
}) => {
  const { engine, planned } = await place(teardown);
  rmSync(join(engine.store.directory, 'packs'), { recursive: true });
  const plan = await planned();
  equal(plan.placement, undefined);
  const blocker = plan.findings.find(({ level }) => level === 'blocker');
  deepEqual([blocker?.code, isPossible(plan)], ['recovery-point', false]);
  match(blocker!.remedy!, /holdfast recover/);
});

test('only the space is asked for that guests really write', async () => {
  deepEqual(spaceFindings(1024 * MiB, 1), []);
  deepEqual(words(spaceFindings(1024 * MiB, 2)), ['warning overlay-space']);
  deepEqual(words(spaceFindings(63 * MiB, 1)), ['blocker overlay-space']);
});
