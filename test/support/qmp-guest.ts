import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { builtCheckedGuest, GUEST_WORDS, reportsIn } from './checked-guest.ts';
import { shellOf } from './libvirt-machine.ts';
import { program } from './programs.ts';
import { until } from './until.ts';

/** A machine of plain QEMU with the guest that writes numbered records: checked-guest-init.sh says what it reports. */
export interface QmpGuest extends AsyncDisposable {
  /** Resolves when its guest is up, and writes. */
  start(): Promise<void>;
  reports(): readonly string[];
  /** Resolves with the last durable record's number, once the guest has written `more` since the call. */
  durable(more: number): Promise<number>;
  /** The guest stops writing records; resolves once the last one is on all disks. */
  rest(): Promise<void>;
  /** kill -9 of QEMU. */
  kill(): Promise<void>;
  /** QEMU is asked to end: images are closed as they should be. */
  quit(): Promise<void>;
}

export interface GuestDisk {
  readonly name: string;
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

/** An image with an empty file system. */
export async function guestDisk(
  directory: string,
  { name, format, size }: Pick<GuestDisk, 'name' | 'format'> & { readonly size: number },
): Promise<GuestDisk> {
  const raw = join(directory, `${name}.raw`);
  await program('truncate', '-s', String(size), raw);
  await program('mkfs.ext4', '-q', '-F', '-E', 'nodiscard', raw);
  if (format === 'raw') return { name, path: raw, format };
  const path = join(directory, `${name}.qcow2`);
  await program('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, path);
  return { name, path, format };
}

/** `directory`: where its sockets are; `name` as theirs. */
export async function qmpGuest(
  directory: string,
  name: string,
  disks: readonly GuestDisk[],
): Promise<QmpGuest> {
  const guest = await builtCheckedGuest();
  const file = (kind: string): string => join(directory, `${name}.${kind}`);
  const reports = (): string[] => reportsIn(file('reports'));
  const last = (): number =>
    Number(/^DURABLE (\d+)$/.exec(reports().findLast((it) => it.startsWith('DURABLE')) ?? '')?.[1]);
  let child: ChildProcess | undefined;
  const socket = (kind: string): string => `${file(kind)},server=on,wait=off`;
  const drives = disks.flatMap(({ name: disk, path, format }) => [
    ...['-blockdev', `driver=${format},node-name=${disk},file.driver=file,file.filename=${path}`],
    ...['-device', `virtio-blk-pci,drive=${disk},id=${disk}`],
  ]);
  const words = [
    ...['-machine', 'pc,accel=tcg', '-cpu', 'max', '-m', '256', '-nodefaults', '-no-user-config'],
    ...['-display', 'none', '-name', name, '-uuid', '5e1fc4ec-3b63-4f3c-9d0c-6a9f6d1f2a01'],
    ...['-qmp', `unix:${socket('qmp')}`, '-chardev', `socket,id=qga,path=${socket('qga')}`],
    ...['-device', 'virtio-serial', '-chardev', `socket,id=shell,path=${socket('shell')}`],
    ...['-device', 'virtserialport,chardev=shell,name=shell'],
    ...['-device', 'virtserialport,chardev=qga,name=org.qemu.guest_agent.0'],
    ...['-serial', `file:${file('console')}`, '-serial', `file:${file('reports')}`],
    ...['-kernel', join(guest, 'vmlinuz'), '-initrd', join(guest, 'initrd')],
    ...['-append', GUEST_WORDS, ...drives],
  ];
  async function end(signal: NodeJS.Signals): Promise<void> {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const ended = once(running, 'exit');
    running.kill(signal);
    await ended;
  }
  return {
    reports,
    async start() {
      const started = spawn('qemu-system-x86_64', words, { stdio: 'ignore' });
      rmSync(file('reports'), { force: true });
      child = started;
      process.once('exit', () => started.kill('SIGKILL'));
      await until(`${name}'s guest is up`, () => reports().some((it) => it.startsWith('DURABLE')));
    },
    async durable(more) {
      const wanted = (last() || 0) + more;
      await until(`${name}'s guest writes record ${wanted}`, () => last() >= wanted);
      return last();
    },
    async rest() {
      await shellOf(file('shell'))('touch /run/paused');
      await until(`${name}'s guest rests`, () => reports().some((it) => it.startsWith('PAUSED')));
    },
    kill: () => end('SIGKILL'),
    quit: () => end('SIGTERM'),
    [Symbol.asyncDispose]: () => end('SIGKILL'),
  };
}
