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
 * The only way in which this room touches disks and what is mounted from them: programs in processes of
 * their own. The disks are served by this very process, so a file system call of its own could wait for
 * itself, for ever.
 */

/** What each program is part of on Debian. */
const PACKAGES = {
  blkid: 'util-linux',
  bsdtar: 'libarchive-tools',
  cat: 'coreutils',
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

/** Enough for what looks at a disk, too little for what a hostile one could make it ask for. */
export const PARSER_MEMORY_MAX = 1024 * 1024 * 1024;

export interface Ran {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Its exit code is the caller's to judge. Rejects TOOL_MISSING, TIMEOUT, INTERRUPTED, FAILED (killed). */
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

/** Rejects as `runProgram` where it did not end by itself. */
export function exitCode(name: ProgramName, end: ToolEnd): number {
  if (isMissing(end)) throw missing(name);
  if (end.stopped === 'timeout') {
    throw new GranularError('TIMEOUT', `${name} does not answer and was given up`);
  }
  if (end.stopped === 'aborted') throw new GranularError('INTERRUPTED', `${name} was interrupted`);
  if (end.code === undefined) {
    throw new GranularError('FAILED', `${name} was killed: ${lastWords(end.stderr)}`);
  }
  return end.code;
}

/** What it prints; then ask `ended` how it went. */
export async function* outputOf(tool: Tool): AsyncGenerator<Buffer> {
  try {
    yield* tool.stdout as AsyncIterable<Buffer>;
  } catch {
    // It was given up: its end says so.
  }
}

/** What a program says at its end is why it failed. */
export function lastWords(stderr: string): string {
  return printable(stderr.trim().split('\n').slice(-3).join('; ').slice(-500)) || 'without a word';
}

function translated(cause: unknown): unknown {
  if (!(cause instanceof SystemError)) return cause;
  // What starts them all.
  if (cause.code === 'NOT_FOUND') return missing('prlimit');
  return new GranularError('FAILED', cause.message, { cause });
}

function missing(name: ProgramName): GranularError {
  return new GranularError(
    'TOOL_MISSING',
    `${name} is not installed: apt-get install ${PACKAGES[name]}`,
  );
}
