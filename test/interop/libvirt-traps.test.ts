import { deepEqual, equal, match, notEqual, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { collectedFrom, expectDone, spawnCliIn } from '../support/cli.ts';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { libvirtStore, type MadePoint } from '../support/libvirt-store.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// What happens to a machine between two backups, and during one: the rows of libvirt-traps.md that need a real guest.
// All share a libvirtd and a guest; at the end guests look at the disks of all recovery points.

const MIB = 2 ** 20;
const DAY_MS = 86_400_000;
/** Runs Node with a clock that is a day behind. */
const YESTERDAY = [
  'env',
  `NODE_OPTIONS=--import=data:text/javascript,${encodeURIComponent(`
    const now = () => Now.now() - ${DAY_MS};
    const Now = globalThis.Date;
    globalThis.Date = class extends Now {
      constructor(...given) { if (given.length > 0) super(...given); else super(now()); }
      static now() { return now(); }
    };`)}`,
];

test('whatever happens to a machine, its next backup is true, and the one after counts again', {
  skip: libvirtMissing,
  timeout: 600_000,
}, async (t) => {
  await using host = await libvirtHost();
  const root = temporaryDirectory();
  const store = await libvirtStore(host, root);
  const [vda, vdb, vdc] = [
    { target: 'vda', path: await host.disk('vda.qcow2', { size: 32 * MIB }) },
    { target: 'vdb', path: await host.disk('vdb.raw', { size: 32 * MIB, format: 'raw' }) },
    { target: 'vdc', path: await host.disk('vdc.qcow2', { size: 32 * MIB }) },
  ] as const;
  const web1 = await host.define({ name: 'web1', disks: [vda] });
  await web1.start();
  const backUp = async (): Promise<MadePoint> => store.backUp('web1', await web1.durable());
  const checkpoints = async (): Promise<readonly string[]> =>
    (await host.virsh('checkpoint-list', 'web1', '--name')).split('\n').filter(Boolean);

  await t.test('the first reads all, the next what changed, and one checkpoint stays', async () => {
    deepEqual((await backUp()).scopes, { vda: 'all' });
    deepEqual((await backUp()).scopes, { vda: 'changes' });
    equal((await checkpoints()).length, 1);
  });

  await t.test('its QEMU is killed: all is read, which says why', async () => {
    await web1.kill();
    await web1.start();
    const { scopes, reasons } = await backUp();
    deepEqual(scopes, { vda: 'all' });
    match(reasons['vda']!, /lost|count|track/);
    deepEqual((await backUp()).scopes, { vda: 'changes' });
    equal((await checkpoints()).length, 1);
  });

  await t.test('libvirtd starts again: the next counts as ever', async () => {
    await host.restart('kill');
    deepEqual((await backUp()).scopes, { vda: 'changes' });
  });

  await t.test('the clock goes back a day: the next counts as ever', async () => {
    await web1.durable();
    const words = ['backup', 'create', 'nightly', '--from', 'kvm1/web1'];
    const late = spawnCliIn(YESTERDAY, [...words, '--store', join(root, 'store'), '--json']);
    const { result } = await expectDone(collectedFrom(late));
    const [point] = result['points'] as { point: string; scopes: { scope: string }[] }[];
    equal(point!.scopes[0]!.scope, 'changes');
    const day = new Date(Date.now() - DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');
    ok(point!.point.includes(day), point!.point);
    deepEqual((await backUp()).scopes, { vda: 'changes' });
    equal((await checkpoints()).length, 1);
  });

  await t.test(
    'its agent hangs: it is backed up without it, and is not frozen when the agent wakes',
    async () => {
      await web1.run('kill -STOP $(pidof qemu-ga)');
      const { consistency } = await backUp();
      deepEqual([consistency.asked, consistency.got], ['file-system', 'crash']);
      await web1.run('kill -CONT $(pidof qemu-ga)');
      await web1.durable(3);
      equal((await backUp()).consistency.got, 'file-system');
    },
  );

  await t.test('it grows: what was added is read, the rest by its changes', async () => {
    await host.virsh('blockresize', 'web1', vda.path, '48MiB');
    const { scopes, point } = await backUp();
    deepEqual(scopes, { vda: 'changes' });
    const { result } = await store.holdfast('backup', 'show', point);
    deepEqual(
      (result['disks'] as { size: number }[]).map(({ size }) => size),
      [48 * MIB],
    );
  });

  await t.test('disks are added: those are read whole, the raw one each time', async () => {
    await web1.attach({ ...vdb, format: 'raw' });
    await web1.attach(vdc);
    await web1.report(/^CHECKED vdc/);
    const first = await backUp();
    deepEqual(first.scopes, { vda: 'changes', vdb: 'all', vdc: 'all' });
    const next = await backUp();
    deepEqual(next.scopes, { vda: 'changes', vdb: 'all', vdc: 'changes' });
    match(next.reasons['vdb']!, /raw/);
  });

  await t.test('it is off: its images are read, by their changes', async () => {
    const last = await web1.rest();
    await web1.shutDown();
    const off = await store.backUp('web1', last);
    deepEqual([off.scopes['vda'], off.scopes['vdc']], ['changes', 'changes']);
    equal(off.consistency.got, 'off');
    await web1.start();
    await web1.checked(3);
    const { scopes } = await backUp();
    deepEqual([scopes['vda'], scopes['vdc']], ['changes', 'changes']);
  });

  await t.test('it is undefined and defined again: all is read, which says why', async () => {
    const definition = await host.virsh('dumpxml', 'web1', '--inactive', '--security-info');
    await web1.destroy();
    await host.virsh('undefine', 'web1', '--checkpoints-metadata');
    const file = join(host.directory, 'again.xml');
    writeFileSync(file, definition);
    await host.virsh('define', file);
    await web1.start();
    await web1.checked(3);
    const { scopes, reasons } = await backUp();
    deepEqual(scopes, { vda: 'all', vdb: 'all', vdc: 'all' });
    ok(reasons['vda']);
    const next = await backUp();
    deepEqual([next.scopes['vda'], next.scopes['vdc']], ['changes', 'changes']);
  });

  await t.test(
    'another backup of it runs: the backup says so at once, and leaves it alone',
    async () => {
      const foreign = join(host.directory, 'foreign.xml');
      const server = `<server transport='unix' socket='${join(host.sockets, 'other')}'/>`;
      writeFileSync(foreign, `<domainbackup mode='pull'>${server}</domainbackup>`);
      await host.virsh('backup-begin', 'web1', foreign);
      const began = performance.now();
      const { code, stderr, stdout } = await store.holdfast(
        ...['backup', 'create', 'nightly', '--from', 'kvm1/web1'],
      );
      notEqual(code, 0, stdout);
      match(stdout + stderr, /backup/);
      ok(performance.now() - began < 25_000, 'libvirt itself would wait for 30 seconds');
      match(await host.virsh('backup-dumpxml', 'web1'), /other/);
      await host.virsh('domjobabort', 'web1');
      await backUp();
    },
  );

  await t.test(
    'it gets an internal snapshot: it is no longer tracked, and can be reverted',
    async () => {
      await web1.destroy();
      const db1 = await host.define({
        name: 'db1',
        disks: [{ target: 'vda', path: await host.disk('db1.qcow2', { size: 32 * MIB }) }],
      });
      await db1.start();
      await store.backUp('db1', await db1.durable());
      await host.virsh('snapshot-create-as', 'db1', 'before-upgrade');
      const { said } = await store.backUp('db1', await db1.durable());
      match(said, /snapshot/);
      equal((await host.virsh('checkpoint-list', 'db1', '--name')).trim(), '');
      await host.virsh('snapshot-revert', 'db1', 'before-upgrade');
      equal(await db1.state(), 'running');
      await store.backUp('db1', 0);
    },
  );

  await t.test('all recovery points have every record that was durable before them', async () => {
    const points = await store.checkPoints();
    ok(points.length > 15);
  });
});
