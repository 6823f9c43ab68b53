import { printable } from '../../lib/printable.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import {
  isMissing,
  runTool,
  startTool,
  type Tool,
  type ToolEnd,
  type ToolOptions,
} from '../../sys/process/tool.ts';
import { GranularError } from './file-restore-error.ts';

/*
 * The only way in which this room accesses disks and their mounts: programs in processes of their own. This very
 * process serves the disks, so a file system call of its own could wait for itself, forever.
 */

/** The Debian package of each program. */
const PACKAGES = {
  blkid: 'util-linux',
  bsdtar: 'libarchive-tools',
  cat: 'coreutils',
  dd: 'coreutils',
  env: 'coreutils',
  find: 'findutils',
  findmnt: 'util-linux',
  guestfish: 'libguestfs-tools',
  head: 'coreutils',
  mkdir: 'coreutils',
  modprobe: 'kmod',
  mount: 'mount',
  'ntfs-3g': 'ntfs-3g',
  partx: 'util-linux',
  prlimit: 'util-linux',
  rm: 'coreutils',
  rmdir: 'coreutils',
  rsync: 'rsync',
  sfdisk: 'fdisk',
  stat: 'coreutils',
  tar: 'tar',
  umount: 'mount',
  wipefs: 'util-linux',
} as const;

export type ProgramName = keyof typeof PACKAGES;

/** Enough to examine a disk, and a limit on what a hostile disk can make a program allocate. */
export const PARSER_MEMORY_MAX = 1024 * 1024 * 1024;

export interface Ran {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** The caller judges its exit code. Rejects TOOL_MISSING, TIMEOUT, INTERRUPTED, FAILED (killed). */
export async function runProgram(
  name: ProgramName,
  args: readonly string[],
  options: ToolOptions & { readonly timeoutMs: number; readonly input?: string },
): Promise<Ran> {
  try {
    const { stdout, ...end } = await runTool(name, args, options);
    return { code: exitCode(name, end), stdout, stderr: end.stderr };
  } catch (cause) {
    throw translated(cause);
  }
}

export async function startProgram(
  name: ProgramName,
  args: readonly string[],
  options: ToolOptions,
): Promise<Tool> {
  try {
    return await startTool(name, args, options);
  } catch (cause) {
    throw translated(cause);
  }
}

/** Throws as `runProgram` rejects if it did not end on its own. */
export function exitCode(name: ProgramName, end: ToolEnd): number {
  if (isMissing(end)) throw missing(name);
  if (end.stopped === 'timeout') {
    throw new GranularError('TIMEOUT', `${name} did not answer and was stopped`);
  }
  if (end.stopped === 'aborted') throw new GranularError('INTERRUPTED', `${name} was interrupted`);
  if (end.code === undefined) {
    throw new GranularError('FAILED', `${name} was killed: ${lastWords(end.stderr)}`);
  }
  return end.code;
}

/** The output of a tool; afterwards `ended` tells how it ended. */
export async function* outputOf(tool: Tool): AsyncGenerator<Buffer> {
  try {
    yield* tool.stdout as AsyncIterable<Buffer>;
  } catch {
    // It was stopped: `ended` says so.
  }
}

/** The last lines of a program's errors are the reason why it failed. */
export function lastWords(stderr: string): string {
  return (
    printable(stderr.trim().split('\n').slice(-3).join('; ').slice(-500)) || 'without a message'
  );
}

function translated(cause: unknown): unknown {
  if (!(cause instanceof SystemError)) return cause;
  // The program that starts all others.
  if (cause.code === 'NOT_FOUND') return missing('prlimit');
  return new GranularError('FAILED', cause.message, { cause });
}

function missing(name: ProgramName): GranularError {
  return new GranularError(
    'TOOL_MISSING',
    `${name} is not installed: apt-get install ${PACKAGES[name]}`,
  );
}
