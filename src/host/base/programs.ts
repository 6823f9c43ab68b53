import { SystemError } from '../../sys/base/system-error.ts';
import { isMissing, runTool } from '../../sys/process/tool.ts';
import { HostError } from './host-error.ts';

/* The machine is configured with the tools that every administrator knows, each started with a list of arguments. */

/** The Debian package of each program. */
const PACKAGES = {
  blkid: 'util-linux',
  chown: 'coreutils',
  chpasswd: 'passwd',
  getent: 'libc-bin',
  hostnamectl: 'systemd',
  ip: 'iproute2',
  lsblk: 'util-linux',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  networkctl: 'systemd',
  passwd: 'passwd',
  ping: 'iputils-ping',
  setupcon: 'console-setup',
  smartctl: 'smartmontools',
  'ssh-keygen': 'openssh-client',
  systemctl: 'systemd',
  'systemd-run': 'systemd',
  timedatectl: 'systemd',
  wipefs: 'util-linux',
} as const;

export type ProgramName = keyof typeof PACKAGES;

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end; the caller judges its exit code. `input` is its standard input. Rejects TOOL_MISSING,
 * and FAILED if it does not end.
 */
export type RunProgram = (
  name: ProgramName,
  args: readonly string[],
  options?: RunProgramOptions,
) => Promise<Ran>;

export interface RunProgramOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 30_000;

export const runProgram: RunProgram = async (name, args, options = {}) => {
  try {
    const { stdout, ...end } = await runTool(name, args, { timeoutMs: TIMEOUT_MS, ...options });
    if (isMissing(end)) throw missing(name);
    const { code, stopped, stderr } = end;
    if (stopped === 'timeout') throw new HostError('FAILED', `${name} does not answer`);
    if (code === undefined) throw new HostError('FAILED', `${name} was killed: ${stderr.trim()}`);
    return { code, stdout: stdout.toString('utf8'), stderr };
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    if (cause.code === 'NOT_FOUND') throw missing(name);
    throw new HostError('FAILED', cause.message, { cause });
  }
};

/** The output of a program; rejects FAILED, with its last lines, unless it exits with 0. */
export async function output(
  run: RunProgram,
  name: ProgramName,
  args: readonly string[],
  options?: RunProgramOptions,
): Promise<string> {
  const { code, stdout, stderr } = await run(name, args, options);
  if (code === 0) return stdout;
  const words = stderr.trim().split('\n').slice(-3).join('; ').slice(-500);
  throw new HostError('FAILED', `${name} ${args[0] ?? ''}: ${words || `exit code ${code}`}`);
}

/** The JSON output of a program. */
export async function jsonOutput(
  run: RunProgram,
  name: ProgramName,
  args: readonly string[],
): Promise<unknown> {
  const text = await output(run, name, args);
  try {
    // `ip` prints nothing for an empty list.
    return text.trim() === '' ? [] : JSON.parse(text);
  } catch (cause) {
    throw new HostError('FAILED', `${name} ${args[0] ?? ''}: its output is not JSON`, { cause });
  }
}

function missing(name: ProgramName): HostError {
  return new HostError(
    'TOOL_MISSING',
    `${name} is not installed: apt-get install ${PACKAGES[name]}`,
  );
}
