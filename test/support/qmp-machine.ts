import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { lineCutter } from '../../src/formats/wire/qmp.ts';
import type { TestMachine } from '../hypervisors/rig.ts';
import { type FakeAgent, fakeAgent } from './fake-agent.ts';
import { program } from './programs.ts';
import { until } from './until.ts';

/** A machine of plain QEMU, as the conformance suite sees it: what its guest writes is written by QEMU itself. */
export interface QmpMachine extends TestMachine {
  readonly agent: FakeAgent | undefined;
  /** At a monitor of the test's own. */
  ask(command: string, args?: object): Promise<unknown>;
  /** Its disks in a backup can no longer be read, as if the host were away. */
  stopServing(): Promise<void>;
  /** kill -9: its sockets stay. */
  kill(): Promise<void>;
  /** Whatever there still is of it. */
  remove(): Promise<void>;
}

export interface MadeFrom {
  readonly id: string;
  readonly name: string;
  /** Its images are here, and nothing else unless a backup makes it. */
  readonly directory: string;
  /** Where its sockets are. */
  readonly run: string;
  /** Where QEMU makes sockets for backups. */
  readonly sockets: string;
  /** The test's own directory. */
  readonly own: string;
  readonly hasAgent: boolean;
  readonly excluded: readonly string[];
  /** Besides, for QEMU's command line. */
  readonly words?: readonly string[];
}

/** Firmware that halts at once: a machine that runs, and costs nothing. */
export function haltingFirmware(): Buffer {
  const rom = Buffer.alloc(65_536);
  // At the first address that the processor runs: cli; hlt; jmp to the hlt.
  Buffer.from([0xfa, 0xf4, 0xeb, 0xfd]).copy(rom, rom.length - 16);
  return rom;
}

export async function qmpMachine(made: MadeFrom): Promise<QmpMachine> {
  const { id, directory, run, own } = made;
  const disks = new Set<string>();
  let { name } = made;
  let foreign = 0;
  let child: ChildProcess | undefined;
  let agent: FakeAgent | undefined;
  const ownMonitor = join(own, `${id.slice(0, 8)}.sock`);
  const imageOf = (disk: string): string => join(directory, `${disk}.qcow2`);
  const ask = (command: string, args?: object) => askMonitor(ownMonitor, command, args);

  function words(): readonly string[] {
    const drives = [...disks].flatMap((disk) => [
      ...['-blockdev', `driver=file,node-name=${disk}-file,filename=${imageOf(disk)}`],
      ...['-blockdev', `driver=qcow2,node-name=${disk},file=${disk}-file`],
      ...['-device', `scsi-hd,drive=${disk},id=${disk}`],
    ]);
    const media = made.excluded.flatMap((drive) => [
      ...['-blockdev', `driver=file,node-name=${drive},read-only=on,filename=${own}/medium.iso`],
      ...['-device', `scsi-cd,drive=${drive},id=${drive}`],
    ]);
    return [
      ...['-machine', 'pc,accel=tcg', '-nodefaults', '-no-user-config', '-m', '16'],
      ...['-bios', join(own, 'halt.rom'), '-display', 'none', '-name', name, '-uuid', id],
      ...['-qmp', `unix:${join(run, `${name}.qmp`)},server=on,wait=off`],
      ...['-qmp', `unix:${ownMonitor},server=on,wait=off`],
      ...['-device', 'virtio-scsi-pci,id=scsi0', ...drives, ...media, ...(made.words ?? [])],
    ];
  }
  async function bitmaps(): Promise<readonly string[]> {
    if (child) return bitmapsIn(await ask('query-named-block-nodes', { flat: true }));
    const info = ['info', '-U', '--output=json'];
    const images = [...disks].map(imageOf);
    const texts = await Promise.all(images.map((it) => program('qemu-img', ...info, it)));
    return texts.flatMap((it) => bitmapsIn(JSON.parse(it) as unknown));
  }
  /** By the guest's own device: a backup that is under way sees it as the guest's write. */
  async function io(disk: string, command: string): Promise<void> {
    if (!child) {
      await program('qemu-io', '-f', 'qcow2', '-c', command, imageOf(disk));
      return;
    }
    const line = `qemu-io -d ${disk} "${command}"`;
    const said = String(await ask('human-monitor-command', { 'command-line': line })).trim();
    if (said !== '') throw new Error(`${line}: ${said}`);
  }
  async function ended(): Promise<void> {
    if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    child = undefined;
    await agent?.[Symbol.asyncDispose]();
    agent = undefined;
  }

  const machine: QmpMachine = {
    ...{ id, ask },
    get agent() {
      return agent;
    },
    async write(disk, offset, bytes) {
      const file = join(own, `${id}.bytes`);
      writeFileSync(file, bytes);
      await io(disk, `write -s ${file} ${offset} ${bytes.length}`);
    },
    async contents(disk) {
      if (child) await io(disk, 'flush');
      const file = join(own, `${id}.contents`);
      await program('qemu-img', 'convert', '-U', '-f', 'qcow2', '-O', 'raw', imageOf(disk), file);
      return new Uint8Array(readFileSync(file));
    },
    isFrozen: async () => agent?.isFrozen ?? false,
    isRunning: async () =>
      child !== undefined && ((await ask('query-status')) as { running: boolean }).running,
    async traces() {
      const files = readdirSync(directory).filter((it) => !disks.has(it.replace('.qcow2', '')));
      const traces = [
        ...new Set((await bitmaps()).map((it) => `bitmap ${it}`)),
        ...[...files, ...readdirSync(made.sockets)].map((it) => `file ${it}`),
      ];
      if (!child) return traces;
      const named = async (command: string, key: string, args?: object) =>
        ((await ask(command, args)) as Record<string, unknown>[]).map((it) => String(it[key]));
      const nodes = await named('query-named-block-nodes', 'node-name', { flat: true });
      return [
        ...traces,
        ...(await named('query-jobs', 'id')).map((it) => `job ${it}`),
        ...(await named('query-block-exports', 'id')).map((it) => `export ${it}`),
        ...nodes.filter((it) => it.startsWith('holdfast')).map((it) => `node ${it}`),
      ];
    },
    async shutDown() {
      await ask('quit');
      await ended();
    },
    async start() {
      let said = '';
      const started = spawn('qemu-system-x86_64', words(), { stdio: ['ignore', 'ignore', 'pipe'] });
      started.stderr.on('data', (text: Buffer) => (said += text.toString()));
      process.once('exit', () => started.kill('SIGKILL'));
      child = started;
      if (made.hasAgent) agent = await fakeAgent(join(run, `${name}.qga`));
      const isThere = async (): Promise<boolean> => {
        if (started.exitCode !== null) throw new Error(`QEMU has ended: ${said}`);
        return (
          existsSync(ownMonitor) && (await ask('query-status').catch(() => undefined)) !== undefined
        );
      };
      await until(`${name} runs`, isThere, () => said);
    },
    async rename(to) {
      const wasOn = child !== undefined;
      if (wasOn) await machine.shutDown();
      name = to;
      if (wasOn) await machine.start();
    },
    async redefine() {
      if (child) await machine.shutDown();
      await machine.start();
    },
    async undefine() {
      if (child) await machine.shutDown();
    },
    async addDisk(disk, size) {
      await program('qemu-img', 'create', '-q', '-f', 'qcow2', imageOf(disk), String(size));
      disks.add(disk);
      if (!child) return;
      const [filename, file] = [imageOf(disk), `${disk}-file`];
      await ask('blockdev-add', { driver: 'file', 'node-name': file, filename });
      await ask('blockdev-add', { driver: 'qcow2', 'node-name': disk, file });
      await ask('device_add', { driver: 'scsi-hd', drive: disk, id: disk });
    },
    async removeDisk(disk) {
      if (child) {
        await ask('device_del', { id: disk });
        const isGone = async (): Promise<boolean> =>
          !((await ask('query-block')) as { qdev?: string }[]).some(({ qdev }) => qdev === disk);
        await until(`${disk} is gone`, isGone);
        for (const node of [disk, `${disk}-file`]) await ask('blockdev-del', { 'node-name': node });
      }
      disks.delete(disk);
      rmSync(imageOf(disk));
    },
    async growDisk(disk, size) {
      if (child) await ask('block_resize', { 'node-name': disk, size });
      else await program('qemu-img', 'resize', '-q', imageOf(disk), String(size));
    },
    async loseTracking() {
      await machine.kill();
      await machine.start();
    },
    async makeInternalSnapshot() {
      await ask('blockdev-snapshot-internal-sync', { device: 'vda', name: 'before-upgrade' });
    },
    async addForeignCheckpoint() {
      const bitmap = `other-product-${++foreign}`;
      for (const node of disks) {
        await ask('block-dirty-bitmap-add', { node, name: bitmap, persistent: true });
      }
    },
    async runForeignJob() {
      const [job, target] = ['other-product', 'other-target'];
      const size = 262_144;
      await ask('blockdev-add', { driver: 'null-co', 'node-name': target, size });
      await ask('blockdev-backup', { 'job-id': job, device: 'vda', target, sync: 'none' });
      return {
        async [Symbol.asyncDispose]() {
          await ask('job-cancel', { id: job });
          const isOver = async (): Promise<boolean> =>
            !((await ask('query-jobs')) as { id: string }[]).some((it) => it.id === job);
          await until('the foreign job is over', isOver);
          await ask('blockdev-del', { 'node-name': target });
        },
      };
    },
    async stopServing() {
      if (child) await ask('nbd-server-stop').catch(() => {});
    },
    async kill() {
      child?.kill('SIGKILL');
      await ended();
    },
    async remove() {
      await machine.kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return machine;
}

/** One command on a connection of its own. */
export function askMonitor(path: string, command: string, args?: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.on('error', reject);
    socket.on('close', () =>
      reject(new Error(`the monitor ended before "${command}" was answered`)),
    );
    socket.on(
      'data',
      lineCutter((line) => {
        const message = JSON.parse(Buffer.from(line).toString()) as Record<string, unknown>;
        if ('QMP' in message) {
          socket.write('{"execute":"qmp_capabilities","id":0}\n');
          socket.write(`${JSON.stringify({ execute: command, arguments: args, id: 1 })}\n`);
        }
        if (message['id'] !== 1) return;
        if ('return' in message) resolve(message['return']);
        else reject(new Error(`${command}: ${JSON.stringify(message['error'])}`));
        socket.destroy();
      }),
    );
  });
}

function bitmapsIn(answer: unknown): readonly string[] {
  const names: string[] = [];
  JSON.parse(JSON.stringify(answer), (key, value: unknown) => {
    if (!/^(dirty-)?bitmaps$/.test(key) || !Array.isArray(value)) return value;
    // That of a job that counts nothing has none.
    names.push(...value.flatMap(({ name }: { name?: string }) => name ?? []));
    return value;
  });
  return names.filter((it) => it !== 'changed');
}
