import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestMachine } from '../hypervisors/rig.ts';
import type { LibvirtHost } from './libvirt.ts';
import { diskXml } from './libvirt-machine.ts';
import { program } from './programs.ts';
import { savedDefinition, type SavedMachine } from './saved-machine.ts';
import { until } from './until.ts';

/** A machine of a real host, as the conformance suite sees it: what its guest writes is written by QEMU itself. */
export interface LibvirtTestMachine extends TestMachine {
  /** Defines it with these devices, by target, and with a disk of each of these sizes. */
  define(
    others: Readonly<Record<string, string>>,
    disks: Readonly<Record<string, number>>,
  ): Promise<void>;
  /** Puts a device into its definition while it is off. */
  attachDefined(target: string, xml: string): Promise<void>;
  /** Puts a layer over the disk's image while it is off, by hand: libvirt makes none then. */
  addLayer(disk: string): Promise<void>;
  /** Its disks in a backup can no longer be read, as if the host were away. */
  stopServing(): Promise<void>;
  /** Whatever there still is of it. */
  remove(): Promise<void>;
}

export interface MadeFrom {
  readonly id: string;
  readonly name: string;
  /** Its images are here, and nothing else unless a backup makes it. */
  readonly directory: string;
  readonly hasAgent: boolean;
  readonly saved: SavedMachine;
}

/** A CD drive: no backup can read it. Its controller and its medium allow that it is added while the machine runs. */
export function excludedXml(target: string, medium: string): string {
  return `<disk type='file' device='cdrom'><source file='${medium}'/><target dev='${target}' bus='scsi'/>
    <readonly/></disk>`;
}

export function libvirtTestMachine(host: LibvirtHost, made: MadeFrom): LibvirtTestMachine {
  const { id, directory, saved } = made;
  const { virsh } = host;
  /** Devices that it is defined with, by target. */
  const devices = new Map<string, string>();
  let { name } = made;
  let foreign = 0;
  const imageOf = (disk: string): string => join(directory, `${disk}.qcow2`);
  /** By what libvirt keeps of each that runs, whatever its name: virsh would take a hundred times as long. */
  function isOn(): boolean {
    const states = host.path('/run/libvirt/qemu');
    const running = readdirSync(states).filter((it) => it.endsWith('.pid'));
    return running.some((it) => {
      const state = join(states, it.replace(/pid$/, 'xml'));
      return existsSync(state) && readFileSync(state, 'utf8').includes(`<uuid>${id}</uuid>`);
    });
  }
  /** Where the disk's writes go: another file after a snapshot. */
  async function topOf(disk: string): Promise<string> {
    const list = await virsh('domblklist', id, ...(isOn() ? [] : ['--inactive']));
    const found = new RegExp(`^ *${disk} +(/.*)$`, 'm').exec(list);
    return found![1]!.trim();
  }
  const scratchFile = join(host.directory, `${id}.scratch`);

  async function withDevice(xml: string, ...words: readonly string[]): Promise<void> {
    writeFileSync(scratchFile, xml);
    await virsh(words[0]!, id, scratchFile, ...words.slice(1));
    rmSync(scratchFile);
  }
  /** By one virsh for all of them. */
  async function attachLive(all: readonly string[]): Promise<void> {
    const files = all.map((_, at) => join(host.directory, `${id}.${at}.device`));
    for (const [at, xml] of all.entries()) writeFileSync(files[at]!, xml);
    await virsh(files.map((file) => `attach-device ${id} ${file} --live`).join('; '));
    for (const file of files) rmSync(file);
  }
  async function agent(execute: string, words: object = {}): Promise<string | undefined> {
    const command = JSON.stringify({ execute, arguments: words });
    return virsh('qemu-agent-command', id, command).catch(() => undefined);
  }
  async function bitmaps(): Promise<readonly string[]> {
    if (isOn()) {
      const command = '{"execute":"query-named-block-nodes"}';
      return namesIn(await virsh('qemu-monitor-command', id, command));
    }
    const images = [...devices.keys()].map(imageOf).filter((it) => existsSync(it));
    const info = ['info', '-U', '--output=json'];
    return (
      await Promise.all(images.map(async (it) => namesIn(await program('qemu-img', ...info, it))))
    ).flat();
  }
  /** By the guest's own device: a backup that is under way sees it as the guest's write. */
  async function io(disk: string, command: string): Promise<void> {
    if (!isOn()) {
      await program('qemu-io', '-f', 'qcow2', '-c', command, await topOf(disk));
      return;
    }
    const device = `/machine/peripheral/virtio-disk${disk.charCodeAt(2) - 97}/virtio-backend`;
    const words = `qemu-io -d ${device} "${command}"`;
    const said = (await virsh('qemu-monitor-command', id, '--hmp', words)).trim();
    if (said !== '') throw new Error(`${words}: ${said}`);
  }

  async function imageOfSize(disk: string, size: number): Promise<string> {
    await program('qemu-img', 'create', '-q', '-f', 'qcow2', imageOf(disk), String(size));
    return diskXml({ target: disk, path: imageOf(disk) });
  }

  const machine: LibvirtTestMachine = {
    id,
    async define(others, disks) {
      for (const [target, xml] of Object.entries(others)) devices.set(target, xml);
      for (const [disk, size] of Object.entries(disks)) {
        devices.set(disk, await imageOfSize(disk, size));
      }
      const definition = savedDefinition(host, name, id);
      const all = [...devices.values()].join('\n');
      await withDefinition(definition.replace('<devices>', `<devices>${all}`));
    },
    async write(disk, offset, bytes) {
      // QEMU reads it, as another user.
      const file = join(host.directory, `${id}.bytes`);
      writeFileSync(file, bytes);
      await io(disk, `write -s ${file} ${offset} ${bytes.length}`);
      rmSync(file);
    },
    async contents(disk) {
      if (isOn()) await io(disk, 'flush');
      const file = join(host.directory, `${id}.contents`);
      await program(
        'qemu-img',
        'convert',
        '-U',
        '-f',
        'qcow2',
        '-O',
        'raw',
        await topOf(disk),
        file,
      );
      const bytes = new Uint8Array(readFileSync(file));
      rmSync(file);
      return bytes;
    },
    isFrozen: async () => (await agent('guest-fsfreeze-status'))?.includes('frozen') ?? false,
    isRunning: async () => (await virsh('domstate', id)).trim() === 'running',
    async traces() {
      const checkpoints = (await virsh('checkpoint-list', id, '--name'))
        .split('\n')
        .filter(Boolean);
      const job = await virsh('backup-dumpxml', id).then(
        () => ['job'],
        () => [],
      );
      const files = readdirSync(directory).filter((it) => !devices.has(it.replace('.qcow2', '')));
      const lone = (await bitmaps()).filter((it) => !checkpoints.includes(it));
      return [
        ...job,
        ...checkpoints.map((it) => `checkpoint ${it}`),
        ...[...new Set(lone)].map((it) => `bitmap ${it}`),
        ...[...files, ...readdirSync(host.sockets)].map((it) => `file ${it}`),
      ];
    },
    shutDown: async () => void (await virsh('destroy', id)),
    async start() {
      await saved.restore(name, id);
      await attachLive([...devices.values()]);
      if (made.hasAgent) return;
      const end = { path: '/bin/killall', arg: ['qemu-ga'] };
      await agent('guest-exec', end);
      const isGone = async (): Promise<boolean> => (await agent('guest-ping')) === undefined;
      await until(`${name}'s agent is gone`, isGone);
    },
    async rename(to) {
      const wasOn = isOn();
      if (wasOn) await machine.shutDown();
      await virsh('domrename', id, to);
      name = to;
      if (wasOn) await machine.start();
    },
    async redefine() {
      const definition = await virsh('dumpxml', id, '--inactive', '--security-info');
      await machine.undefine();
      await withDefinition(definition);
      await machine.start();
    },
    async undefine() {
      if (isOn()) await machine.shutDown();
      await virsh('undefine', id, '--checkpoints-metadata', '--snapshots-metadata');
    },
    async addDisk(disk, size) {
      const xml = await imageOfSize(disk, size);
      await machine.attachDefined(disk, xml);
      if (isOn()) await attachLive([xml]);
    },
    async removeDisk(disk) {
      if (isOn()) {
        await withDevice(devices.get(disk)!, 'detach-device', '--live');
        const isGone = async () => !(await virsh('domblklist', id)).includes(imageOf(disk));
        await until(`${disk} is gone`, isGone);
      }
      await withDevice(devices.get(disk)!, 'detach-device', '--config');
      devices.delete(disk);
      rmSync(imageOf(disk));
    },
    async growDisk(disk, size) {
      if (isOn()) await virsh('blockresize', id, imageOf(disk), `${size}B`);
      else await program('qemu-img', 'resize', '-q', imageOf(disk), String(size));
    },
    async loseTracking() {
      const pid = readFileSync(host.path(`/run/libvirt/qemu/${name}.pid`), 'utf8').trim();
      const [enter = '', ...words] = host.command('kill', '-KILL', pid);
      await program(enter, ...words);
      await until(`${name} is off`, () => !isOn());
      await machine.start();
    },
    makeInternalSnapshot: async () =>
      void (await virsh('snapshot-create-as', id, 'before-upgrade')),
    addForeignCheckpoint: async () =>
      void (await virsh('checkpoint-create-as', id, `other-product-${++foreign}`)),
    async runForeignJob() {
      const socket = join(host.sockets, `other-product-${id}`);
      const xml = `<domainbackup mode='pull'><server transport='unix' socket='${socket}'/></domainbackup>`;
      await withDevice(xml, 'backup-begin');
      return {
        async [Symbol.asyncDispose]() {
          await virsh('domjobabort', id);
          // libvirt only asks QEMU to end it.
          const isGone = () =>
            virsh('backup-dumpxml', id).then(
              () => false,
              () => true,
            );
          await until(`the other product's backup of ${name} is gone`, isGone);
        },
      };
    },
    async attachDefined(target, xml) {
      await withDevice(xml, 'attach-device', '--config');
      devices.set(target, xml);
    },
    async addLayer(disk) {
      const [below, above] = [imageOf(disk), imageOf(`${disk}-above`)];
      await program('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', below, '-F', 'qcow2', above);
      await withDevice(devices.get(disk)!, 'detach-device', '--config');
      await machine.attachDefined(disk, diskXml({ target: disk, path: above }));
    },
    async stopServing() {
      const stop = '{"execute":"nbd-server-stop"}';
      await virsh('qemu-monitor-command', id, stop).catch(() => {});
    },
    async remove() {
      await machine.undefine().catch(() => {});
      rmSync(directory, { recursive: true, force: true });
    },
  };
  async function withDefinition(definition: string): Promise<void> {
    writeFileSync(scratchFile, definition);
    await virsh('define', scratchFile);
    rmSync(scratchFile);
  }
  return machine;
}

/** The names of bitmaps in an answer of QEMU's monitor or of qemu-img. */
export function namesIn(json: string): readonly string[] {
  const names: string[] = [];
  JSON.parse(json, (key, value: unknown) => {
    if (!/^(dirty-)?bitmaps$/.test(key) || !Array.isArray(value)) return value;
    // That of a job that counts nothing has none.
    names.push(...value.flatMap(({ name }: { name?: string }) => name ?? []));
    return value;
  });
  return names;
}
