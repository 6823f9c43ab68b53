import { deepEqual, doesNotMatch, equal, match, notEqual, ok } from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { ShownFinding } from '../../src/operations/nouns/hypervisor.ts';
import { checkedIn, expectSound, reportsIn } from '../support/checked-guest.ts';
import { collectedFrom, expectDone, spawnCliIn } from '../support/cli.ts';
import { libvirtHost, type LibvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { libvirtStore } from '../support/libvirt-store.ts';
import { program } from '../support/programs.ts';
import { serviceHome } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// Machines and single disks are written back to a real libvirt, and the guest checks its records there.

const MIB = 2 ** 20;
const SIZE = 32 * MIB;

test('recovery points go back to libvirt', {
  skip: libvirtMissing,
  timeout: 400_000,
}, async (t) => {
  await using host = await libvirtHost();
  await makePools(host);
  const root = temporaryDirectory();
  const store = await libvirtStore(host, root);
  const { holdfast } = store;
  const disks = await Promise.all(
    ['vda', 'vdb'].map(async (target) => ({
      target,
      path: await host.disk(join('default', `web1-${target}.qcow2`), { size: SIZE }),
    })),
  );
  const web1 = await host.define({ name: 'web1', disks });
  await web1.start();
  const durable = await web1.durable(2);
  const { point } = await store.backUp('web1', durable);
  const uuid = (await host.virsh('domuuid', 'web1')).trim();
  await web1.destroy();
  const reports = join(host.directory, 'web1.reports');
  const file = join(root, 'vdb.raw');
  await expectDone(holdfast('restore', 'disk', point, 'vdb', '--to', file));
  const poolFiles = () =>
    ['default', 'fast', 'tiny'].flatMap((it) => readdirSync(join(host.directory, it)).sort());

  await t.test('what stands in the way is said, all of it, and nothing is changed', async () => {
    const before = [poolFiles(), await host.virsh('list', '--all')];
    const words = ['restore', 'machine', point, '--to', 'kvm1', '--pool', 'tiny'];
    const shown = await holdfast(...words, '--dry-run');
    equal(shown.code, 1);
    const { findings, ready, restored } = shown.lines.find((it) => 'ready' in it) as {
      findings: ShownFinding[];
      ready: boolean;
      restored: boolean;
    };
    deepEqual([ready, restored], [false, false]);
    const codes = findings.filter(({ level }) => level === 'blocker').map(({ code }) => code);
    deepEqual(codes.sort(), ['name', 'target-space']);
    const refused = await holdfast(...words);
    match(refused.stderr, /2 conditions are not met.*a machine \\?"web1\\?" exists.*tiny/s);
    deepEqual([poolFiles(), await host.virsh('list', '--all')], before);
  });

  await t.test(
    'a machine that is gone is there again as it was, and its guest finds its records',
    async () => {
      await host.virsh('undefine', 'web1', '--checkpoints-metadata');
      for (const { path } of disks) rmSync(path);
      rmSync(reports);
      const words = [
        'restore',
        'machine',
        point,
        '--to',
        'kvm1',
        '--pool',
        'default',
        '--power-on',
      ];
      const { result } = await expectDone(holdfast(...words));
      deepEqual([result['machine'], result['id'], result['started']], ['web1', uuid, true]);
      await until(
        'the guest has checked its disks',
        () => checkedIn(reportsIn(reports)).length === 2,
      );
      expectSound(checkedIn(reportsIn(reports)), durable);
      // In its new images changes are counted.
      await store.backUp('web1', durable);
      const { scopes } = await store.backUp('web1', durable);
      deepEqual(scopes, { vda: 'changes', vdb: 'changes' });
    },
  );

  await t.test(
    'a disk becomes one of a machine while that runs, and the guest finds its records',
    async () => {
      const words = [
        'restore',
        'machine-disk',
        point,
        'vdb',
        '--to',
        'kvm1',
        '--attach-to',
        'web1',
      ];
      const { result } = await expectDone(holdfast(...words));
      deepEqual([result['pool'], result['machine'], result['target']], ['default', 'web1', 'vdc']);
      const found = () => checkedIn(reportsIn(reports)).filter(({ disk }) => disk === 'vdc');
      await until('the guest has checked it', () => found().length === 1);
      expectSound(found(), durable);
      const kept = await host.virsh('domblklist', 'web1', '--inactive');
      match(kept, new RegExp(`vdc +${result['source'] as string}`));
    },
  );

  await t.test('it takes the place of a machine, in another pool, and that one stays', async () => {
    await host.virsh('destroy', 'web1');
    const words = ['restore', 'machine', point, '--to', 'kvm1', '--pool', 'fast'];
    const { result, stdout } = await expectDone(holdfast(...words, '--replace', 'keep'));
    notEqual(result['id'], uuid);
    equal((await host.virsh('domuuid', result['replaced'] as string)).trim(), uuid);
    match(stdout, /gets a new UUID/);
    const [, vdb] = result['disks'] as { source: string }[];
    ok(vdb!.source.startsWith(join(host.directory, 'fast/')));
    await program('qemu-img', 'check', '-q', vdb!.source);
    await program('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', vdb!.source, file);
    equal((await host.virsh('domstate', 'web1')).trim(), 'shut off');
  });

  await t.test('killed in the middle, it leaves what the next one removes', async () => {
    const before = poolFiles();
    const words = ['restore', 'machine', point, '--to', 'kvm1', '--pool', 'fast', '--name', 'web2'];
    const child = spawnCliIn([], [...words, '--store', join(root, 'store'), '--json']);
    const ended = collectedFrom(child);
    await until('a disk is being written', () => poolFiles().length > before.length);
    child.kill('SIGKILL');
    await ended;
    const left = poolFiles().filter((it) => !before.includes(it));
    doesNotMatch(await host.virsh('list', '--all', '--name'), /web2/);
    const { stdout } = await expectDone(holdfast(...words));
    match(stdout, /what the restore restore-\w+ had left on kvm1 was removed/);
    const now = poolFiles();
    equal(now.length, before.length + 2);
    deepEqual(
      now.filter((it) => left.includes(it)),
      [],
    );
  });

  await t.test('while libvirtd is away a job waits, and it goes on when that is back', async () => {
    const home = serviceHome(temporaryDirectory());
    home.configure({ store: join(root, 'store') });
    await using service = await home.run();
    ok(service.pid);
    await stopLibvirtd(host);
    const words = ['restore', 'machine', point, '--to', 'kvm1', '--pool', 'fast', '--name', 'web3'];
    const { result } = await expectDone(home.holdfast(...words, '--queue'));
    const job = async () =>
      (await expectDone(home.holdfast('job', 'show', result['job'] as string))).result;
    await until('it waits', async () => (await job())['reason'] !== null);
    equal((await job())['state'], 'waiting');
    await host.restart('kill');
    await until('it is done', async () => (await job())['state'] === 'done');
    equal((await host.virsh('domstate', 'web3')).trim(), 'shut off');
  });
});

async function makePools(host: LibvirtHost): Promise<void> {
  const [enter = '', ...words] = host.command();
  for (const name of ['default', 'fast', 'tiny']) {
    const directory = join(host.directory, name);
    mkdirSync(directory);
    if (name === 'tiny') {
      await program(enter, ...words, 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', directory);
    }
    await host.virsh('pool-create-as', name, 'dir', '--target', directory);
  }
}

async function stopLibvirtd(host: LibvirtHost): Promise<void> {
  const pid = readFileSync(join(host.directory, 'run', 'libvirtd.pid'), 'utf8').trim();
  const gone = `kill -KILL ${pid}; while kill -0 ${pid} 2>/dev/null; do sleep 0.02; done`;
  const [enter = '', ...words] = host.command('sh', '-c', gone);
  await program(enter, ...words);
}
