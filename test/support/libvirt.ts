import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { builtCheckedGuest, checkedGuestMissing } from './checked-guest.ts';
import { type LibvirtMachine, libvirtMachine, type MachinePlan } from './libvirt-machine.ts';
import { program, without } from './programs.ts';
import { until } from './until.ts';

/** A libvirtd of the test's own, with Debian's QEMU under emulation: nothing of this machine's libvirt is touched. */
export interface LibvirtHost extends AsyncDisposable {
  /** Is called the same in there: what QEMU is to open lies here. QEMU runs as libvirt-qemu, as on any Debian. */
  readonly directory: string;
  /** In it, where QEMU may make sockets. */
  readonly sockets: string;
  /** The socket of libvirtd, as it is called here. In there it is where libvirt always has it. */
  readonly socket: string;
  readonly uri: string;
  /** An independent client. Rejects, with what it said, unless it ends with 0. */
  virsh(...args: readonly string[]): Promise<string>;
  /** What runs a program in there, beside libvirtd: `virt-ssh-helper`, an sshd. */
  command(...words: readonly string[]): readonly string[];
  /** A path in there, as it is called here: of a TPM's state, of a log. */
  path(path: string): string;
  /** Starts libvirtd again while its machines run on. Resolves when it answers. */
  restart(how: 'stop' | 'kill'): Promise<void>;
  /** Makes a disk image in `directory`, with ext4 for the guest's records unless it is blank; returns its path. */
  disk(name: string, plan: DiskPlan): Promise<string>;
  /** Defines a machine with the guest that checks its disks. It goes with its host. */
  define(plan: MachinePlan): Promise<LibvirtMachine>;
}

export interface DiskPlan {
  readonly size: number;
  readonly format?: 'raw' | 'qcow2';
  readonly isBlank?: boolean;
}

const BOOT = new URL('boot-libvirt.sh', import.meta.url).pathname;

/** Why there can be none; false: there can. */
export const libvirtMissing =
  (process.getuid?.() !== 0 && 'only root may run a libvirtd') ||
  without('libvirtd', 'virsh', 'qemu-img', 'ip', 'unshare', 'nsenter') ||
  checkedGuestMissing ||
  (spawnSync('unshare', ['--mount', '--pid', '--net', '--fork', '--mount-proc', 'true']).status !==
    0 &&
    'this machine gives root no mounts, processes and network of its own');

/** Directories of this one that cover others, in there: boot-libvirt.sh. */
const COVERED = [
  ['lib', /^\/var\/lib\/libvirt(?=\/|$)/],
  ['log', /^\/var\/log\/libvirt(?=\/|$)/],
  ['etc', /^\/etc\/libvirt(?=\/|$)/],
  ['run', /^\/run(?=\/|$)/],
] as const;

const LIBVIRTD = `
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
host_uuid = "5e1fc4ec-0000-4000-8000-000000000001"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
`;

// Without cgroups and device namespaces, which an ordinary container does not allow, and without virtlogd.
const QEMU = `
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = [ ]
namespaces = [ ]
`;

export async function libvirtHost(): Promise<LibvirtHost> {
  const guest = await builtCheckedGuest();
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-kvm-'));
  // QEMU is another user.
  chmodSync(directory, 0o711);
  for (const name of ['run', 'etc', 'lib', 'log', 'cache', 'tpm']) mkdirSync(join(directory, name));
  const sockets = join(directory, 'sockets');
  mkdirSync(sockets);
  chmodSync(sockets, 0o777);
  writeFileSync(join(directory, 'etc', 'libvirtd.conf'), LIBVIRTD);
  writeFileSync(join(directory, 'etc', 'qemu.conf'), QEMU);
  // libvirt changes the owner of what a machine boots.
  for (const name of ['vmlinuz', 'initrd']) copyFileSync(join(guest, name), join(directory, name));
  const child = spawn('sh', [BOOT, directory], { stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
  const ended = once(child, 'close');
  const socket = join(directory, 'run', 'libvirt', 'libvirt-sock');
  const uri = `qemu+unix:///system?socket=${socket}`;
  const virsh: LibvirtHost['virsh'] = (...args) => program('virsh', '-q', '-c', uri, ...args);
  const logOf = (): string => {
    const log = join(directory, 'log', 'libvirtd.log');
    return said + (existsSync(log) ? readFileSync(log, 'utf8').slice(-4000) : '');
  };
  const command: LibvirtHost['command'] = (...words) => {
    const first = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    return ['nsenter', '-t', first.trim(), '-m', '-p', ...words];
  };
  async function inside(...words: readonly string[]): Promise<string> {
    const [enter = '', ...args] = command(...words);
    return program(enter, ...args);
  }
  async function answers(): Promise<boolean> {
    if (child.exitCode !== null) throw new Error(`libvirtd did not start: ${logOf()}`);
    return (
      existsSync(socket) &&
      virsh('uri').then(
        () => true,
        () => false,
      )
    );
  }
  const host: LibvirtHost = {
    ...{ directory, sockets, socket, uri, virsh, command },
    path: (path) =>
      COVERED.reduce((it, [name, over]) => it.replace(over, join(directory, name)), path),
    async restart(how) {
      const pid = readFileSync(join(directory, 'run', 'libvirtd.pid'), 'utf8').trim();
      const signal = how === 'kill' ? '-KILL' : '-TERM';
      const isThere = `while kill -0 ${pid} 2>/dev/null; do sleep 0.02; done`;
      await inside('sh', '-c', `kill ${signal} ${pid}; ${isThere}; exec libvirtd --daemon`);
      await until('libvirtd answers', answers, logOf);
    },
    async disk(name, { size, format = 'qcow2', isBlank = false }) {
      const path = join(directory, name);
      const raw = format === 'raw' ? path : `${path}.raw`;
      await program('truncate', '-s', String(size), raw);
      if (!isBlank) await program('mkfs.ext4', '-q', '-F', '-E', 'nodiscard', raw);
      if (format === 'qcow2') {
        await program('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, path);
        rmSync(raw);
      }
      return path;
    },
    define: (plan) => libvirtMachine({ directory, virsh, inside }, plan),
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
  try {
    await until('libvirtd answers', answers, logOf);
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
  return host;
}
