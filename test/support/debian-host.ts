import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { program, without } from './programs.ts';

/** An ordinary Debian with systemd, as a container that boots in a second. Only its loopback has a network. */
export interface DebianHost extends AsyncDisposable {
  /** Runs a program in there as root; rejects, with what it said, unless it ends with 0. */
  run(command: string, ...args: string[]): Promise<string>;
  /** The same, whatever its exit code. */
  tryRun(command: string, ...args: string[]): Promise<Answer>;
  /** What a terminal here has to start to run that in there, as root. */
  command(...words: string[]): readonly string[];
  /** Starts it again, cleanly or as after a power cut; resolves when all its services run. */
  restart(how: 'reboot' | 'power cut'): Promise<void>;
  /** A path in there, as it is called here. */
  path(path: string): string;
  /** What it has printed on its console. */
  console(): string;
  /** Types at its console. */
  type(keys: string): void;
}

export interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const BUILD = new URL('build-debian-host.sh', import.meta.url).pathname;
const BOOT = new URL('boot-host.sh', import.meta.url).pathname;
/** As an administrator installs it. */
const HYPERVISOR =
  'polkitd,libvirt-daemon-system,libvirt-clients,qemu-system-x86,swtpm,swtpm-tools,ovmf,rsync,ntfs-3g';
const START_MS = 60_000;
const STOP_MS = 30_000;
const COMMAND_MS = 120_000;
const ENVIRONMENT = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LANG=C.UTF-8'];

/** Why there can be none; false: there can. */
export const debianHostMissing =
  (process.getuid?.() !== 0 && 'only root may boot a container') ||
  without('systemd-nspawn', 'mmdebstrap', 'script', 'unshare', 'nsenter', 'flock') ||
  (spawnSync('unshare', ['--mount', 'mount', '-t', 'cgroup2', 'none', '/sys/fs/cgroup']).status !==
    0 &&
    'this machine does not let root mount a cgroup2');

/**
 * Boots one whose root tree is made in `directory`, with this checkout at its own path, read-only. `disk`: in /dev.
 * `isHypervisor`: with a libvirt of its own.
 */
export async function debianHost(
  directory: string,
  disk?: string,
  isHypervisor = false,
): Promise<DebianHost> {
  const tree = join(directory, 'tree');
  mkdirSync(tree);
  await program('tar', '-C', tree, '--numeric-owner', '-xf', await packedTree(isHypervisor));
  const shared = [process.cwd(), realpathSync('node_modules')];
  const wanted = ['fuse', ...(disk === undefined ? [] : [disk])].map((name) => `/dev/${name}`);
  const devices = wanted.filter((path) => existsSync(path)).map((path) => `--bind=${path}`);
  const child = spawn('sh', [BOOT], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: {
      ...process.env,
      ...{ TREE: tree, WORK: directory },
      BINDS: [...shared.map((path) => `--bind-ro=${path}`), ...devices].join(' '),
    },
  });
  const ended = once(child, 'close');
  // A test file that fails half-way must not leave a machine behind.
  const kill = (): void => {
    const pid = nspawnOf(directory);
    if (pid !== undefined && child.exitCode === null) process.kill(pid, 'SIGKILL');
  };
  process.once('exit', kill);
  let leader = await booted(directory);
  function command(...words: string[]): readonly string[] {
    const enter = ['-t', String(leader), '-m', '-r', '-u', '-i', '-n', '-p'];
    return ['nsenter', ...enter, 'env', '-i', ...ENVIRONMENT, ...words];
  }
  async function tryRun(...words: [string, ...string[]]): Promise<Answer> {
    const [enter = '', ...args] = command(...words);
    return answerOf(enter, args);
  }
  return {
    command,
    tryRun,
    async run(command, ...args) {
      const { code, stdout, stderr } = await tryRun(command, ...args);
      if (code === 0) return stdout;
      throw new Error(`${command} ${args.join(' ')}: exit code ${code}: ${stderr}${stdout}`);
    },
    async restart(how) {
      // Twice forced: nothing is stopped and nothing is written out by systemd.
      await tryRun('systemctl', 'reboot', ...(how === 'power cut' ? ['--force', '--force'] : []));
      leader = await booted(directory, leader);
    },
    path: (path) => join(tree, path),
    type: (keys) => void child.stdin.write(keys),
    console: () => readFileSync(join(directory, 'console'), 'utf8'),
    async [Symbol.asyncDispose]() {
      await tryRun('systemctl', 'poweroff');
      const limit = sleep(STOP_MS, 'late', { ref: false });
      if ((await Promise.race([ended, limit])) !== 'late') return;
      kill();
      await ended;
    },
  };
}

/** Built once, by one test file at a time, and kept in var/, which is this checkout's own. */
async function packedTree(isHypervisor: boolean): Promise<string> {
  const file = isHypervisor ? 'var/debian-hypervisor.tar' : 'var/debian-host.tar';
  mkdirSync('var', { recursive: true });
  const more = isHypervisor ? [HYPERVISOR] : [];
  await program('flock', `${file}.lock`, 'sh', BUILD, file, ...more);
  return file;
}

/** Resolves with the number of its first process once all its services run. */
async function booted(directory: string, before?: number): Promise<number> {
  const limit = performance.now() + START_MS;
  while (performance.now() < limit) {
    await sleep(50);
    const leader = firstChild(nspawnOf(directory));
    if (leader === undefined || leader === before) continue;
    const enter = ['-t', String(leader), '-m', '-r', '-p', 'systemctl', 'is-system-running'];
    const { stdout } = await answerOf('nsenter', enter);
    if (/running|degraded/.test(stdout)) return leader;
  }
  const console = join(directory, 'console');
  throw new Error(`it did not boot: ${existsSync(console) ? readFileSync(console, 'utf8') : ''}`);
}

function nspawnOf(directory: string): number | undefined {
  const file = join(directory, 'pid');
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) || undefined : undefined;
}

function firstChild(pid: number | undefined): number | undefined {
  try {
    return (
      Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0]) || undefined
    );
  } catch {
    return undefined;
  }
}

function answerOf(command: string, args: readonly string[]): Promise<Answer> {
  return new Promise((resolve) => {
    execFile(
      command,
      args,
      { timeout: COMMAND_MS, maxBuffer: 2 ** 26 },
      (error, stdout, stderr) => {
        const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
        resolve({ code, stdout, stderr });
      },
    );
  });
}
