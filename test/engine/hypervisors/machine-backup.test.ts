import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { readMachine } from '../../../src/catalog/point-files.ts';
import { listPoints, newPointId } from '../../../src/catalog/points.ts';
import { publishPoint } from '../../../src/catalog/publication.ts';
import { openPoint } from '../../../src/engine/base/engine.ts';
import { checkJob } from '../../../src/engine/jobs/job-checks.ts';
import { add } from '../../../src/engine/hypervisors/managed.ts';
import { backupMachines } from '../../../src/engine/hypervisors/machine-backup.ts';
import { restore } from '../../../src/engine/points/backups.ts';
import { forget } from '../../../src/engine/points/listed-points.ts';
import type { RequestOf } from '../../../src/operations/operations.ts';
import { engineIn, KEY } from '../../support/engine.ts';
import { fakeHypervisor } from '../../support/fake-hypervisor/fake-hypervisor.ts';
import { hostDisk } from '../../support/fake-hypervisor/host-disk.ts';
import { managedHome, NO_FILES } from '../../support/hypervisors.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import type { Connecting } from '../../hypervisors/rig.ts';

const MiB = 2 ** 20;

type Request = RequestOf<'backup/machine'>;
const ALL: Request = {
  ...{ set: 'nightly', from: ['kvm1/*'], consistency: 'file-system', strict: false },
  ...{ machine: undefined, only: undefined, exclude: undefined, window: undefined },
};

/** A store, and a fake hypervisor that was added under the name kvm1. */
async function place(after: (work: () => Promise<void>) => void) {
  const root = temporaryDirectory();
  const home = await engineIn(root);
  const host = fakeHypervisor();
  const connecting: { now: Connecting } = { now: {} };
  const hosts = new Map([['kvm1', host]]);
  const { hypervisors } = managedHome(({ name }) => hosts.get(name)!.connect(connecting.now));
  const signal = new AbortController().signal;
  const own = { ...NO_FILES, sockets: undefined, scratch: undefined, hostKey: undefined };
  const added = { hypervisor: 'kvm1', uri: 'fake:///system', ...own };
  await add(hypervisors, added, { signal });
  async function addOther(name: string): Promise<void> {
    hosts.set(name, fakeHypervisor());
    await add(hypervisors, { ...added, hypervisor: name }, { signal });
  }
  const notices: string[] = [];
  const engine = await home.open();
  after(async () => engine[Symbol.asyncDispose]());
  async function backUp(more: Partial<Request> = {}) {
    return await backupMachines(
      engine,
      { ...ALL, ...more },
      {
        ...{ hypervisors, secrets: KEY, signal },
        report: (event) => void (event.event === 'notice' && notices.push(event.message)),
      },
    );
  }
  async function restored(point: string, disk: string): Promise<Buffer> {
    const to = join(root, `${point}-${disk}.raw`);
    const request = { point, disk, to, format: undefined, overwrite: false, erase: undefined };
    await restore(engine, request, { secrets: KEY, signal, report() {} });
    return readFileSync(to);
  }
  return { engine, host, hosts, addOther, connecting, notices, backUp, restored };
}

test('increments read what has changed, and each recovery point is the disk of its moment', async ({
  teardown: after,
}) => {
  const { host, backUp, restored } = await place(after);
  const vm = await host.machine({ name: 'web1', disks: { vda: 8 * MiB, vdb: 2 * MiB } });
  const expected: { point: string; bytes: Uint8Array }[] = [];
  for (let run = 0; run < 4; run++) {
    await vm.write('vda', run * MiB + 4096, noise(64 * 1024, run));
    const { points, failed } = await backUp({ from: ['kvm1/web1'] });
    deepEqual(failed, []);
    const [made] = points;
    expected.push({ point: made!.point, bytes: await vm.contents('vda') });
    deepEqual(
      made!.scopes.map(({ scope }) => scope),
      run === 0 ? ['all', 'all'] : ['changes', 'changes'],
    );
    if (run > 0) ok(made!.readBytes <= 5 * MiB, `${made!.readBytes}`);
  }
  for (const { point, bytes } of expected) ok((await restored(point, 'vda')).equals(bytes));
  equal((await vm.traces()).length, 1, 'only what the next one counts from');
});

test('a recovery point has the machine, and what was left out of it', async ({
  teardown: after,
}) => {
  const { engine, host, backUp } = await place(after);
  await host.machine({ name: 'web1', disks: { vda: MiB, swap: MiB }, excluded: ['cd'] });
  const { points, run } = await backUp({ exclude: ['swap'] });
  const { set, point } = await openPoint(engine, points[0]!.point, KEY);
  equal(point.run, run);
  equal(point.consistency?.got, 'file-system');
  const machine = await readMachine(engine.store, set, point);
  deepEqual(
    machine?.disks.map(({ name, excluded }) => [name, excluded?.reason]),
    [
      ['vda', undefined],
      ['swap', 'chosen'],
      ['cd', 'removable'],
    ],
  );
  deepEqual(point.files?.map(({ kind }) => kind).slice(0, 2), ['description', 'definition']);
});

test('a machine that no description can hold is backed up without one, and that is said', async ({
  teardown: after,
}) => {
  const { engine, host, notices, backUp } = await place(after);
  const excluded = Array.from({ length: 1024 }, (_, n) => `cd${n}`);
  await host.machine({ name: 'web1', disks: { vda: MiB }, excluded });
  const { points } = await backUp({ from: ['kvm1/web1'] });
  const { point } = await openPoint(engine, points[0]!.point, KEY);
  deepEqual(
    point.files?.map(({ kind }) => kind),
    ['definition', 'firmware-vars'],
  );
  match(
    notices.join('\n'),
    /web1: the description of the machine is not in the recovery point: .*"disks"/,
  );
});

test('a machine that fails costs no other; alone it is an error', async ({ teardown: after }) => {
  const { host, backUp } = await place(after);
  for (const name of ['web1', 'web2', 'db']) await host.machine({ name, disks: { vda: MiB } });
  const busy = await host.machine({ name: 'busy', disks: { vda: MiB } });
  await using _job = await busy.runForeignJob();
  const { points, failed } = await backUp();
  deepEqual(points.map(({ machine }) => machine).toSorted(), ['db', 'web1', 'web2']);
  equal(failed[0]?.machine, 'kvm1/busy');
  const some = await backUp({ from: ['kvm1/web*', 'kvm1/db', 'kvm1/web1'] });
  equal(some.points.length, 3, 'each once');
  await rejects(backUp({ from: ['kvm1/busy'] }), { name: 'HypervisorError', code: 'BUSY' });
  await rejects(backUp({ from: ['kvm1/nope*'] }), /no machine "nope\*".*web1/);
  await rejects(backUp({ from: ['kvm2/web1'] }), /kvm2/);
});

test('a machine that is no longer on its hypervisor is looked for on the others', async ({
  teardown: after,
}) => {
  const { hosts, addOther, backUp } = await place(after);
  await addOther('kvm2');
  await addOther('kvm3');
  await hosts.get('kvm2')!.setUp(false);
  await rejects(
    backUp({ from: ['kvm1/web1'] }),
    /none; if it was moved to another host, .*HOST\/web1/,
  );
  await hosts.get('kvm3')!.machine({ name: 'web1', disks: { vda: MiB } });
  await rejects(
    backUp({ from: ['kvm1/web1'] }),
    /a machine of that name is on kvm3: .*--from kvm3\/web1/,
  );
  equal((await backUp({ from: ['kvm3/web1'] })).points.length, 1);
});

test('a job for a hypervisor that was never added is refused when it is made', async ({
  teardown: after,
}) => {
  const { engine } = await place(after);
  const kept = process.env['XDG_CONFIG_HOME'];
  after(async () => void (process.env['XDG_CONFIG_HOME'] = kept ?? ''));
  process.env['XDG_CONFIG_HOME'] = temporaryDirectory();
  const request = { ...ALL, retention: undefined, thenVerify: undefined };
  const job = { kind: 'backup-machine', request } as const;
  await rejects(checkJob(engine, job, { secrets: KEY }), /there is no hypervisor "kvm1"/);
});

test('what cannot be counted is read whole, with the reason, and stores only what is new', async ({
  teardown: after,
}) => {
  const { engine, host, backUp, restored, notices } = await place(after);
  const vm = await host.machine({ name: 'web1', disks: { vda: 4 * MiB } });
  await vm.write('vda', 0, noise(2 * MiB, 1));
  const full = (await backUp()).points[0]!;
  await vm.loseTracking();
  await vm.write('vda', 3 * MiB, noise(4096, 2));
  const lost = (await backUp()).points[0]!;
  equal(lost.scopes[0]?.scope, 'all');
  match(notices.join('\n'), /disk vda: all of its 4.00 MiB will be read, because /);
  ok(lost.storedBytes < full.storedBytes / 4, `${lost.storedBytes} of ${full.storedBytes}`);
  ok((await restored(lost.point, 'vda')).equals(await vm.contents('vda')));
  await forget(engine, lost.point);
  // The hypervisor no longer has what the one before counts from.
  await vm.write('vda', MiB, noise(4096, 3));
  const next = (await backUp()).points[0]!;
  ok((await restored(next.point, 'vda')).equals(await vm.contents('vda')));
});

test('interrupted at any second call, the next run is whole, and leaves nothing behind', async ({
  teardown: after,
}) => {
  const { host, connecting, backUp, restored } = await place(after);
  const vm = await host.machine({ name: 'web1', disks: { vda: 2 * MiB } });
  await backUp();
  let isThere = true;
  // Each driver's own suite cuts before every call as well.
  for (let at = 1; isThere; at += 2) {
    await vm.write('vda', (at % 16) * 65_536, noise(4096, at));
    isThere = false;
    connecting.now = {
      onCall(_name, count) {
        if (count !== at) return undefined;
        isThere = true;
        return 'cut-after';
      },
    };
    // The connection is lost before the recovery point is there, or after.
    await backUp().catch((cause: unknown) => match(String(cause), /HypervisorError|BlockError/));
    connecting.now = {};
    equal(await vm.isRunning(), true);
    const { points } = await backUp();
    ok((await restored(points[0]!.point, 'vda')).equals(await vm.contents('vda')), `call ${at}`);
    equal(await vm.isFrozen(), false);
    equal((await vm.traces()).length, 1, `after call ${at}`);
  }
});

test('what is not confirmed to be of one moment is not published, and the next counts from the point before', async ({
  teardown: after,
}) => {
  const { engine, host, connecting, backUp, restored } = await place(after);
  const vm = await host.machine({ name: 'web1', disks: { vda: 2 * MiB } });
  await backUp();
  await vm.write('vda', 4096, noise(4096, 1));
  connecting.now = {
    async onCall(name) {
      // All is read by then.
      if (name === 'confirm') await vm.shutDown();
      return undefined;
    },
  };
  await rejects(backUp({ from: ['kvm1/web1'] }), { name: 'HypervisorError', code: 'FAILED' });
  connecting.now = {};
  equal((await listPoints(engine.store, undefined)).points.length, 1);
  equal((await vm.traces()).length, 1);
  await vm.start();
  const [next] = (await backUp()).points;
  equal(next!.scopes[0]!.scope, 'changes');
  ok((await restored(next!.point, 'vda')).equals(await vm.contents('vda')));
});

test('a disk that is in another place is read whole, with the reason; the others are counted', async ({
  teardown: after,
}) => {
  const { host, backUp, restored, notices } = await place(after);
  const vm = await host.machine({ name: 'web1', disks: { vda: 2 * MiB, vdb: 2 * MiB } });
  await backUp();
  // A bitmap of that name says nothing of what differs between the two.
  const disk = host.host.machines.get(vm.id)!.disks.get('vdb')!;
  disk.bytes = hostDisk(2 * MiB);
  disk.layers = ['/fake/other/vdb'];
  await vm.write('vdb', MiB, noise(4096, 1));
  const [made] = (await backUp()).points;
  deepEqual(
    made!.scopes.map(({ scope }) => scope),
    ['changes', 'all'],
  );
  match(notices.join('\n'), /vdb: all .*\/fake\/other\/vdb now, and was in \/fake\/vdb/);
  ok((await restored(made!.point, 'vdb')).equals(await vm.contents('vdb')));
});

test('a backup that finds another one of the store running leaves what that one has made', async ({
  teardown: after,
}) => {
  const { host, connecting, backUp, restored } = await place(after);
  const vm = await host.machine({ name: 'web1', disks: { vda: 2 * MiB } });
  await vm.write('vda', 0, noise(MiB, 1));
  let other: Promise<unknown> | undefined;
  connecting.now = {
    async onCall(name) {
      if (name !== 'read' || other) return undefined;
      connecting.now = {};
      other = rejects(backUp({ from: ['kvm1/web1'] }), { name: 'StoreError', code: 'BUSY' });
      await other;
      return undefined;
    },
  };
  const { points } = await backUp();
  ok(other);
  ok((await restored(points[0]!.point, 'vda')).equals(await vm.contents('vda')));
});

test('what another job published in the meantime is counted from', async ({ teardown: after }) => {
  const { engine, host, connecting, backUp } = await place(after);
  for (const name of ['web1', 'web2']) {
    const { write } = await host.machine({ name, disks: { vda: 2 * MiB } });
    await write('vda', 0, noise(MiB, 1));
  }
  const before = (await backUp()).points.find(({ machine }) => machine === 'web2')!;
  const { id } = [...host.host.machines.values()].find(({ name }) => name === 'web2')!;
  const { set, point } = await openPoint(engine, before.point, KEY);
  /** As a job of another process makes it; web2 has written nothing since. */
  async function publishOther(): Promise<void> {
    await using driver = await host.connect();
    const other = newPointId(engine.store, 'web2');
    const signal = new AbortController().signal;
    const wish = { only: undefined, exclude: [], consistency: 'crash', fallBack: true } as const;
    const options = { point: other, signal, onNotice() {} };
    await using snapshot = await driver.backup.begin(id, wish, point.tracking, options);
    const { tracking } = snapshot;
    await publishPoint(engine.store, set, { ...point, id: other, parent: point.id, tracking });
    await snapshot.accept();
  }
  let isPublished = false;
  connecting.now = {
    async onCall(name) {
      if (name !== 'begin job' || isPublished) return undefined;
      isPublished = true;
      await publishOther();
      return undefined;
    },
  };
  const { points } = await backUp();
  equal(isPublished, true);
  deepEqual(
    points.map(({ machine, scopes }) => [machine, scopes[0]!.scope]),
    [
      ['web1', 'changes'],
      ['web2', 'changes'],
    ],
  );
});
