import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import { parseHypervisorUri } from '../../src/hypervisors/base/target.ts';
import { openLibvirt } from '../../src/hypervisors/drivers/libvirt.ts';
import { realWorld } from '../../src/sys/world.ts';
import type { LibvirtHost } from '../support/libvirt.ts';
import { libvirtTestHost } from '../support/libvirt-test-host.ts';
import type { LibvirtTestMachine } from '../support/libvirt-test-machine.ts';
import { program } from '../support/programs.ts';
import { noise } from '../support/random.ts';
import type { SavedMachine } from '../support/saved-machine.ts';
import { until } from '../support/until.ts';
import { SIZE } from './backups.ts';
import type { Test } from './rig.ts';
import { begin, endless, failureOf, type Point, same, take, truth, WISH } from './taking.ts';

// What administrators do to the disks of a machine of libvirt's: rows of ../interop/libvirt-traps.md. Each backup is
// compared with all that the guest sees, as QEMU's own tools read it.

export interface Real {
  readonly host: LibvirtHost;
  readonly saved: SavedMachine;
}

/** A machine with a recovery point, and what makes the next. */
export interface Tracked extends AsyncDisposable {
  readonly machine: LibvirtTestMachine;
  readonly driver: Hypervisor;
  /** The last one. */
  point: Point;
  /** As the engine makes it: tidied, built on the last one. Answers why its disk was read whole, if it was. */
  next(): Promise<string | undefined>;
  /** Writes where nothing was written before. */
  write(): Promise<void>;
}

export function libvirtDisksConform(test: Test, real: Real): void {
  test('layers that libvirt puts on top and takes away count, also while the machine is off', async () => {
    await using it = await tracked(real);
    const { machine } = it;
    await it.write();
    await snapshot(real, machine, 's1');
    await it.write();
    await real.host.virsh('blockcommit', machine.id, 'vda', '--active', '--pivot', '--wait');
    await it.write();
    equal(await it.next(), undefined);
    await it.write();
    await snapshot(real, machine, 's2');
    await it.write();
    equal(await it.next(), undefined);
    await it.write();
    await snapshot(real, machine, 's3');
    await it.write();
    await machine.shutDown();
    equal(await it.next(), undefined);
  });

  test('after a layer that another program puts on top all is read, with the reason', async () => {
    await using it = await tracked(real);
    const { machine, point } = it;
    await it.write();
    await machine.shutDown();
    await machine.addLayer('vda');
    await it.write();
    match((await it.next()) ?? '', /another program than libvirt has put \S+ on top/);
    await machine.start();
    it.point = point;
    await it.write();
    match((await it.next()) ?? '', /lost what it counted: .*missing or broken bitmap/);
    equal(await it.next(), undefined);
  });

  test('disks that are shared, read-only, or on other hosts are left out or read, with the reason', async () => {
    await using it = await tracked(real);
    await differentDisks(real, it);
  });

  test('undefining a machine in the middle of a backup changes nothing for it', async () => {
    await using it = await tracked(real);
    const { machine, driver } = it;
    await it.write();
    const then = await truth(machine, ['vda']);
    const since = it.point;
    it.point = await take(driver, machine, {
      since,
      onBegun: async () => {
        await real.host.virsh('undefine', machine.id);
        await it.write();
      },
    });
    same(it.point.disks, then);
    equal(await it.next(), undefined);
  });
}

export async function tracked({ host, saved }: Real): Promise<Tracked> {
  await using stack = new AsyncDisposableStack();
  const rig = stack.use(libvirtTestHost(host, saved));
  const driver = stack.use(await rig.connect());
  const made = await rig.machine({
    name: `images-${process.hrtime.bigint()}`,
    disks: { vda: SIZE },
  });
  const machine = made as LibvirtTestMachine;
  await machine.write('vda', 12_288, noise(30_000, 1));
  let written = 0;
  const owned = stack.move();
  const it: Tracked = {
    ...{ machine, driver },
    point: await take(driver, machine),
    async next() {
      await driver.backup.tidy(machine.id, [it.point.tracking!], endless());
      let reason: string | undefined;
      it.point = await take(driver, machine, {
        since: it.point,
        onBegun: async ({ disks: [disk] }) => {
          equal(disk!.changed === undefined, disk!.why !== undefined);
          reason = disk!.why;
        },
      });
      same(it.point.disks, await truth(machine, ['vda']));
      return reason;
    },
    async write() {
      // Each in a cluster of its own, of which one bit of a bitmap tells.
      await machine.write(
        'vda',
        65_536 * (written % 4) + 2000 * Math.floor(written / 4),
        noise(1500, ++written),
      );
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
  return it;
}

async function snapshot({ host }: Real, { id }: LibvirtTestMachine, name: string): Promise<void> {
  await host.virsh('snapshot-create-as', id, name, '--disk-only', '--no-metadata');
}

async function differentDisks({ host }: Real, { machine, driver }: Tracked): Promise<void> {
  const image = async (kind: string, format = 'raw') => {
    const path = join(host.directory, `${machine.id}-${kind}`);
    await program('qemu-img', 'create', '-q', '-f', format, path, String(SIZE));
    await program('qemu-io', '-f', format, '-c', 'write -P 7 4096 8192', path);
    return path;
  };
  const remote = await image('remote');
  await using socket = await served(host, machine.id, remote);
  const file = (path: string) => `<source file='${path}'/>`;
  const attach = async (target: string, type: string, format: string, rest: string) =>
    machine.attachDefined(
      target,
      `<disk type='${type}' device='disk'><driver name='qemu' type='${format}'/>${rest}
        <target dev='${target}' bus='virtio'/></disk>`,
    );
  await attach('vdc', 'file', 'raw', `${file(await image('shared'))}<shareable/>`);
  await attach('vdd', 'file', 'raw', `${file(await image('raw'))}<readonly/>`);
  const readOnly = await image('qcow2', 'qcow2');
  await attach('vde', 'file', 'qcow2', `${file(readOnly)}<readonly/>`);
  const server = `<host transport='unix' socket='${socket.path}'/>`;
  await attach('vdf', 'network', 'raw', `<source protocol='nbd' name='d'>${server}</source>`);
  await machine.shutDown();
  await machine.start();

  const found = await driver.backup.check(machine.id, WISH, endless());
  const levels = found.map(({ level, code, disk }) => [disk, code, level].join(' '));
  ok(levels.includes('vdc disk-excluded warning'), levels.join());
  ok(levels.includes('vdf scratch-space blocker'), levels.join());
  const failure = await failureOf(begin(driver, machine));
  equal(failure?.code, 'UNSUPPORTED');
  match(failure?.message ?? '', /disk vdf is not a file.*--scratch DIR/);

  const scratch = join(host.directory, `${machine.id}-scratch`);
  mkdirSync(scratch);
  chmodSync(scratch, 0o777);
  const uri = parseHypervisorUri(host.uri)!;
  const options = { name: 'kvm1', owner: 'store1', sockets: host.sockets, scratch };
  const target = { uri, ssh: undefined };
  const limit = AbortSignal.timeout(60_000);
  await using second = await openLibvirt({ ...realWorld(), ...options, target }, limit);
  const names = ['vda', 'vdd', 'vde', 'vdf'];
  const first = await take(second, machine, {
    onBegun: async ({ described }) => {
      const left = described.machine.disks.filter(({ excluded }) => excluded);
      deepEqual(
        left.map(({ name, excluded }) => [name, excluded?.reason]),
        [['vdc', 'shared']],
      );
    },
  });
  const reasons = new Map<string, string | undefined>();
  const point = await take(second, machine, {
    since: first,
    onBegun: async ({ disks }) => {
      for (const { name, why } of disks) reasons.set(name, why);
    },
  });
  deepEqual([...reasons.keys()], names);
  equal(reasons.get('vda'), undefined);
  for (const name of ['vdd', 'vde']) match(reasons.get(name) ?? '', /only read it/);
  match(reasons.get('vdf') ?? '', /raw/);
  const oracle = new Map([...(await truth(machine, ['vda']))]);
  for (const name of ['vdd', 'vde', 'vdf']) {
    const bytes = new Uint8Array(SIZE);
    oracle.set(name, bytes.fill(7, 4096, 4096 + 8192));
  }
  same(point.disks, oracle);
}

/** A disk of another host, over NBD. */
async function served(host: LibvirtHost, id: string, path: string) {
  const socket = join(host.sockets, `${id.slice(0, 8)}-other`);
  const child = spawn('qemu-nbd', ['-t', '-f', 'raw', '-x', 'd', '-k', socket, path]);
  const ended = once(child, 'close');
  await until('another host serves a disk', () => existsSync(socket));
  chmodSync(socket, 0o777);
  return {
    path: socket,
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
      rmSync(socket, { force: true });
    },
  };
}
