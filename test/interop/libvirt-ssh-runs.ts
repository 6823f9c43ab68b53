import { deepEqual, match, ok, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { SshTarget } from '../../src/hypervisors/base/target.ts';
import { parseHypervisorUri } from '../../src/hypervisors/base/target.ts';
import type { RunPlan } from '../../src/hypervisors/base/run-driver.ts';
import { openLibvirt } from '../../src/hypervisors/drivers/libvirt.ts';
import { realWorld } from '../../src/sys/world.ts';
import { checkDisks, expectSound } from '../support/checked-guest.ts';
import type { LibvirtHost } from '../support/libvirt.ts';
import { program } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

interface There {
  readonly host: LibvirtHost;
  readonly ssh: SshTarget;
  readonly account: string;
  /** A raw image of the disk vda of the machine web1, with records of its guest. */
  readonly image: string;
}

/** A machine of a session runs there on a disk that is served here: also after the way to it was lost. */
export async function runThroughSsh({ host, ssh, account, image }: There): Promise<void> {
  const signal = AbortSignal.timeout(120_000);
  const uri = parseHypervisorUri(`qemu+ssh://${account}@127.0.0.1/system`)!;
  const options = { ...realWorld(), name: 'kvm1', owner: 'store', scratch: undefined };
  const open = () => openLibvirt({ ...options, sockets: undefined, target: { uri, ssh } }, signal);
  await using there = await open();
  const run = there.run!;
  const socket = join(temporaryDirectory(), 'disks.sock');
  await using server = await served(image, socket);
  const session = 'web1-aabbcc';
  const notices: string[] = [];
  await using way = run.exports.open({ session, socket }, (it) => void notices.push(it));
  await way.reached(signal);

  const { id, machine, files } = await described(there, signal);
  const definition = files.find(({ kind }) => kind === 'definition')!;
  const { size } = machine.disks[0]!;
  const plan: RunPlan = {
    ...{ session, name: 'web1-2', uuid: '0b2ff0e5-3a3c-4c5e-9d6d-00000000000f', machine },
    files: [{ name: 'definition', kind: 'definition', bytes: await definition.read(signal) }],
    disks: [{ name: 'vda', size: size!, urls: [run.exports.urlOf({ session, socket }, 'vda')] }],
    ...{ networks: {}, pool: undefined, autostart: false, writes: 'here' },
  };
  const running = (await there.machines(signal)).find((it) => it.id === id)!;
  if (running.power !== 'off') await host.virsh('destroy', 'web1');
  deepEqual(await run.check(plan, signal), []);
  const shown = await run.show(plan, signal);
  const placed = { id: await run.register(plan, shown, signal), session };
  await run.start(placed, signal);
  const inside = (script: string) => program(...command(host, script));
  // The image grows as the guest writes to it.
  const written = await changesOf(image);
  await until('the guest writes', async () => (await changesOf(image)) > written);

  await inside(`pkill -KILL -u ${account} sshd`);
  await until('the loss is noticed', () => notices.length > 0);
  match(notices[0]!, /no longer reaches the disks/);
  await way.reached(signal);
  // The connection to libvirt was lost with it.
  await using again = await open();
  const then = again.run!;
  await until('it runs again', async () => {
    const look = await then.look(placed, signal);
    // As the session does that finds its machine so.
    const isStopped = look.isThere && look.power === 'paused-io';
    if (isStopped) await then.start(placed, signal).catch(() => {});
    return look.isThere && look.power === 'on';
  });
  const before = await changesOf(image);
  await until('the guest writes again', async () => (await changesOf(image)) > before);
  await then.stop(placed, 'off', signal);
  await then.unregister(placed, signal);
  await way[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  expectSound(await checkDisks({ file: image, format: 'raw' }), 2);
  await using impossible = run.exports.open({ session: 'a:b', socket }, () => {});
  await rejects(impossible.reached(signal), { code: 'UNSUPPORTED' });
}

function command(host: LibvirtHost, script: string): [string, ...string[]] {
  const [enter = '', ...args] = host.command('sh', '-euc', script);
  return [enter, ...args];
}

type Opened = Awaited<ReturnType<typeof openLibvirt>>;

async function described(there: Opened, signal: AbortSignal) {
  const { id } = (await there.machines(signal)).find(({ name }) => name === 'web1')!;
  return { id, ...(await there.describe(id, signal)) };
}

/** When the file was changed last. */
async function changesOf(file: string): Promise<number> {
  return Number((await program('stat', '-c', '%.Y', file)).trim());
}

/** An image, served as a session serves its disks. */
async function served(image: string, socket: string): Promise<AsyncDisposable> {
  const words = [
    '-f',
    'raw',
    '-x',
    'vda',
    '-k',
    socket,
    '-t',
    '-e',
    '8',
    '--cache=writeback',
    image,
  ];
  const child = spawn('qemu-nbd', words, { stdio: 'ignore' });
  const ended = once(child, 'exit');
  await until('it is served', () => existsSync(socket));
  ok(child.exitCode === null);
  return {
    async [Symbol.asyncDispose]() {
      child.kill();
      await ended;
    },
  };
}
