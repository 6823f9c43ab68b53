import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { MadeTestMachine, RunTestHost, ServedSession } from '../hypervisors/run-rig.ts';
import type { LibvirtHost } from './libvirt.ts';
import { definitionOf, shellOf } from './libvirt-machine.ts';
import { libvirtTestHost } from './libvirt-test-host.ts';
import { program } from './programs.ts';
import type { SavedMachine } from './saved-machine.ts';
import { until } from './until.ts';

const NETWORK = 'lan';
const VARIABLES = '/var/lib/libvirt/qemu/nvram';

/** Once for each host: a network that leads nowhere. */
export async function makeNetwork(host: LibvirtHost): Promise<void> {
  const file = join(host.directory, 'network.xml');
  const bridge = "<forward mode='bridge'/><bridge name='holdfast0'/>";
  writeFileSync(file, `<network><name>${NETWORK}</name>${bridge}</network>`);
  await host.virsh('net-define', file);
  await host.virsh('net-start', NETWORK);
}

let rigs = 0;

/** A real host as the suite for runs sees it. Its guests start from the disks that a server of QEMU's serves. */
export async function libvirtRunHost(host: LibvirtHost, saved: SavedMachine): Promise<RunTestHost> {
  const { virsh } = host;
  const number = ++rigs;
  const rig = libvirtTestHost(host, saved);
  const servers = new Map<string, Server>();
  const [pool, fullPool] = [`fast${number}`, `full${number}`];
  const directory = join(host.directory, `run${number}`);
  for (const it of [directory, join(directory, pool), join(directory, fullPool)]) mkdirSync(it);
  const [enter = '', ...words] = host.command();
  await program(
    enter,
    ...words,
    'mount',
    '-t',
    'tmpfs',
    '-o',
    'size=4096',
    'none',
    join(directory, fullPool),
  );
  for (const it of [pool, fullPool]) {
    await virsh('pool-create-as', it, 'dir', '--target', join(directory, it));
  }
  const ids = async (): Promise<readonly string[]> =>
    (await virsh('list', '--all', '--uuid')).split('\n').filter(Boolean);
  const disksIn = (it: string): readonly string[] => readdirSync(join(directory, it));
  return {
    ...rig,
    ...{ pool, fullPool, network: NETWORK },
    definition: (disks, mac) => definition(host, disks, mac),
    serve: async (session, disks) => {
      for (const [name, bytes] of Object.entries(disks)) {
        const key = `${session}-${name}`;
        const server = serverOf(host, { directory, key });
        writeFileSync(server.file, bytes);
        servers.set(key, server);
        await server.start();
      }
      return served(session, disks, servers);
    },
    async sessionTraces() {
      const traces: string[] = [];
      let free = '';
      for (const id of await ids()) {
        const xml = await virsh('dumpxml', id);
        const found = /<holdfast-run:(\w+)[^>]* session='([^']*)'/.exec(xml);
        if (found) traces.push(`${found[1]} ${id} ${found[2]}`);
        else free += xml;
      }
      const files = [...disksIn(pool), ...disksIn(fullPool)];
      const nvram = host.path(VARIABLES);
      if (existsSync(nvram)) files.push(...readdirSync(nvram));
      const left = files.filter((it) => it.startsWith('holdfast-') && !free.includes(it));
      return [...traces, ...left.map((it) => `file ${it}`)].sort();
    },
    poolDisks: async () => [...disksIn(pool), ...disksIn(fullPool)],
    made: async (id) => madeMachine(host, { id, directory, servers }),
    async [Symbol.asyncDispose]() {
      for (const id of await ids()) {
        await virsh('destroy', id).catch(() => {});
        await virsh(
          'undefine',
          id,
          '--nvram',
          '--checkpoints-metadata',
          '--snapshots-metadata',
        ).catch(() => {});
      }
      await rig[Symbol.asyncDispose]();
      for (const it of servers.values()) await it.stop();
      for (const it of [pool, fullPool]) await virsh('pool-destroy', it);
      await program(enter, ...words, 'umount', join(directory, fullPool));
      rmSync(directory, { recursive: true });
    },
  };
}

let definitions = 0;

function definition(host: LibvirtHost, disks: readonly string[], mac: string): Uint8Array {
  const name = `recovered${++definitions}`;
  const plan = { name, isStill: true, agent: 'none' } as const;
  const made = disks.map((target) => ({ target, path: `/images/${target}.qcow2` }));
  const xml = definitionOf(host.directory, { ...plan, disks: made });
  const parts = `<mac address='${mac}'/><source bridge='br7'/><model type='virtio'/>`;
  const card = `<interface type='bridge'>${parts}</interface>`;
  return Buffer.from(xml.replace('</devices>', `${card}</devices>`));
}

interface Server {
  readonly file: string;
  readonly url: string;
  readonly isUp: boolean;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** One export, by QEMU's own server. */
function serverOf(
  host: LibvirtHost,
  { directory, key }: { readonly directory: string; readonly key: string },
): Server {
  const file = join(directory, `${key}.raw`);
  const socket = join(directory, `${key}.sock`);
  let child: ChildProcess | undefined;
  return {
    file,
    url: `nbd+unix:///${key}?socket=${socket}`,
    get isUp() {
      return child !== undefined;
    },
    async start() {
      if (child) return;
      rmSync(socket, { force: true });
      const words = ['-t', '-e', '8', '-f', 'raw', '-x', key, '-k', socket, file];
      child = spawn('qemu-nbd', words, { stdio: ['ignore', 'ignore', 'inherit'] });
      await until(`${key} is served`, () => existsSync(socket));
      // QEMU is another user.
      chmodSync(socket, 0o777);
      chmodSync(host.directory, 0o711);
    },
    async stop() {
      if (!child) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      child = undefined;
      await ended;
    },
  };
}

function served(
  session: string,
  disks: Readonly<Record<string, Uint8Array>>,
  servers: ReadonlyMap<string, Server>,
): ServedSession {
  const own = (name: string): Server => servers.get(`${session}-${name}`)!;
  return {
    disks: Object.entries(disks).map(([name, { length: size }]) => ({
      ...{ name, size },
      urls: [own(name).url],
    })),
    contents: async (name) => new Uint8Array(readFileSync(own(name).file)),
    async setUp(isUp) {
      for (const name of Object.keys(disks)) await (isUp ? own(name).start() : own(name).stop());
    },
  };
}

interface MadeOn {
  readonly id: string;
  readonly directory: string;
  readonly servers: ReadonlyMap<string, Server>;
}

/** Requests that the guest itself waits for, by machine: they end once the machine goes on. */
const pending = new Map<string, Promise<unknown>>();
let layers = 0;

function madeMachine(host: LibvirtHost, { id, directory, servers }: MadeOn): MadeTestMachine {
  const { virsh } = host;
  const shell = async (line: string): Promise<string> => {
    const [, socket = ''] = /path='([^']*\.shell)'/.exec(await virsh('dumpxml', id)) ?? [];
    return shellOf(socket)(line);
  };
  /** The image of a disk, as the machine names it now. */
  async function sourceOf(disk: string): Promise<string> {
    const xml = (await virsh('dumpxml', id)).replaceAll(/<mirror .*?<\/mirror>/gs, '');
    const found = xml
      .match(/<disk .*?<\/disk>/gs)
      ?.find((it) => it.includes(`<target dev='${disk}'`));
    const [, file] = /<source file='([^']*)'/.exec(found ?? '') ?? [];
    if (file !== undefined) return file;
    const [, name = ''] = /<source protocol='nbd' name='([^']*)'/.exec(found ?? '') ?? [];
    return servers.get(name)!.file;
  }
  async function io(disk: string, command: string): Promise<void> {
    const device = `/machine/peripheral/virtio-disk${disk.charCodeAt(2) - 97}/virtio-backend`;
    const words = `qemu-io -d ${device} "${command}"`;
    const said = (await virsh('qemu-monitor-command', id, '--hmp', words)).trim();
    if (said !== '') throw new Error(`${words}: ${said}`);
  }
  const state = async (): Promise<string> => (await virsh('domstate', id)).trim();
  return {
    async write(disk, offset, bytes) {
      await pending.get(id);
      pending.delete(id);
      const source = await sourceOf(disk);
      const server = [...servers.values()].find(({ file }) => file === source);
      if (server?.isUp === false) {
        // Only a request of the guest's own stops the machine.
        const octal = [...bytes].map((it) => `\\${it.toString(8).padStart(3, '0')}`).join('');
        const target = `of=/dev/${disk} bs=${bytes.length} seek=${offset / bytes.length} conv=notrunc`;
        pending.set(
          id,
          shell(`printf '${octal}' | dd iflag=fullblock oflag=direct ${target}`).catch(() => {}),
        );
        await until('the machine stops', async () => (await state()) === 'paused');
        return;
      }
      const file = join(directory, `${id}.bytes`);
      writeFileSync(file, bytes);
      await io(disk, `write -s ${file} ${offset} ${bytes.length}`);
    },
    async contents(disk) {
      if ((await state()) === 'running') await io(disk, 'flush');
      const source = await sourceOf(disk);
      if (source.endsWith('.raw')) return new Uint8Array(readFileSync(source));
      const file = join(directory, `${id}.contents`);
      await program('qemu-img', 'convert', '-U', '-O', 'raw', source, file);
      return new Uint8Array(readFileSync(file));
    },
    pause: async () => void (await virsh('suspend', id)),
    start: async () => void (await virsh('start', id)),
    shutDown: async () => void (await virsh('destroy', id)),
    async undefine() {
      await virsh('destroy', id).catch(() => {});
      await virsh('undefine', id);
    },
    async addLayer(disk) {
      const file = join(directory, `layer${++layers}.qcow2`);
      const others = ['vda', 'vdb'].filter((it) => it !== disk);
      const spec = [`${disk},file=${file}`, ...others.map((it) => `${it},snapshot=no`)];
      const specs = spec.flatMap((it) => ['--diskspec', it]);
      await virsh('snapshot-create-as', id, '--disk-only', '--no-metadata', '--atomic', ...specs);
    },
    async moveElsewhere(disk) {
      const file = join(directory, `elsewhere-${disk}.qcow2`);
      const words = ['--format', 'qcow2', '--wait', '--pivot', '--transient-job'];
      await virsh('blockcopy', id, disk, '--dest', file, ...words);
    },
  };
}
