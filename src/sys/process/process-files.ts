import { promises } from 'node:fs';
import { run } from './run.ts';
import { SystemError, systemError } from '../base/system-error.ts';

const PRLIMIT_MS = 60_000;

/** The real paths of the files that a process of our own user has open, regardless of the names used. */
export async function openPaths(pid: number): Promise<string[]> {
  const directory = descriptorsOf(pid);
  const links = await Promise.all(
    (await descriptors(pid)).map((fd) => linkOf(`${directory}/${fd}`)),
  );
  // Sockets, pipes and their like have other names.
  return links.filter((it) => it?.startsWith('/') === true).map((it) => it!.replace(DELETED, ''));
}

/** proc_pid_fd(5): the mark of a file that has been deleted. */
const DELETED = / \(deleted\)$/;

/**
 * From now on a process of our own user can open nothing: it continues with its open files, and gets EMFILE for any
 * other. Rejects FAILED.
 */
export async function forbidOpening(pid: number): Promise<void> {
  const taken = new Set(await descriptors(pid));
  let free = 0;
  while (taken.has(free)) free++;
  // Open descriptors above the limit stay open. A smaller limit would make poll(2) refuse those that the process
  // waits for.
  const limit = `--nofile=${free}:${free}`;
  const { code, stderr } = await run('prlimit', [`--pid=${pid}`, limit], { timeoutMs: PRLIMIT_MS });
  if (code !== 0) throw new SystemError('FAILED', `prlimit: ${stderr.trim()}`);
}

function descriptorsOf(pid: number): string {
  return `/proc/${pid}/fd`;
}

async function descriptors(pid: number): Promise<number[]> {
  const directory = descriptorsOf(pid);
  try {
    return (await promises.readdir(directory)).map(Number);
  } catch (cause) {
    throw systemError(cause, `list ${directory}`);
  }
}

/** Undefined: it was closed in the meantime. */
async function linkOf(path: string): Promise<string | undefined> {
  try {
    return await promises.readlink(path);
  } catch (cause) {
    const error = systemError(cause, `read ${path}`);
    if (error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** What a process was started with; undefined: it is gone, or may not be seen. */
export async function commandLine(pid: number): Promise<readonly string[] | undefined> {
  try {
    const words = await promises.readFile(`/proc/${pid}/cmdline`, 'utf8');
    return words === '' ? undefined : words.replace(/\0$/, '').split('\0');
  } catch {
    return undefined;
  }
}
