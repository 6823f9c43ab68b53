import { formatSize } from '../../lib/sizes.ts';
import { printable } from '../../lib/printable.ts';
import {
  GUEST_FILE_MAX,
  type GuestFile,
  type PutFile,
  type PutOptions,
} from '../base/guest-files.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { abilitiesOf, type GuestAgent, runInGuest, withGuestFile } from './agent.ts';

/*
 * One file into a guest. Where the agent may run programs, the file is written under another name that only root may
 * read, gets its owner and rights, is compared, and only then gets its name: a crash leaves the old file or the new
 * one. Agents create files that everyone may read and write, which is why the rights come before the contents.
 */
export async function putFile(
  agent: GuestAgent,
  file: GuestFile,
  options: PutOptions,
): Promise<PutFile> {
  const { signal } = options;
  checkFile(file);
  const { programs, why } = await abilitiesOf(agent, signal);
  if (!programs) return writeInPlace(agent, file, { ...options, why: why! });
  const replaced = await refuseToReplace(agent, file, signal);
  const temporary = `${parentOf(file.path)}/.holdfast-${options.nonce}`;
  try {
    await withGuestFile(agent, { path: temporary, mode: 'w', signal }, async () => {});
    await refuseLink(agent, temporary, signal);
    await succeed(agent, ['chmod', '600', temporary], signal);
    await refuseLink(agent, temporary, signal);
    await writeAndCompare(agent, temporary, file, options);
    const lost = await dress(agent, temporary, file, signal);
    await publish(agent, temporary, file, signal);
    return { replaced, lost };
  } catch (cause) {
    // Also after an abort.
    await runInGuest(agent, ['rm', '-f', temporary], undefined).catch(() => {});
    throw inGuest(cause, file.path);
  }
}

/** Throws UNSUPPORTED if it is too large, FAILED if the path is none. */
function checkFile({ path, bytes }: GuestFile): void {
  if (!/^(?:\/|[A-Za-z]:[\\/])./.test(path) || /[\\/]$/.test(path) || path.includes('\0')) {
    const what = `"${printable(path)}" is not the absolute path of a file in a guest`;
    throw new HypervisorError(
      'FAILED',
      `${what}: it begins with "/", or with a drive as in "C:\\"`,
    );
  }
  if (bytes.length <= GUEST_FILE_MAX) return;
  const size = `${formatSize(bytes.length)}, and at most ${formatSize(GUEST_FILE_MAX)} go through an agent`;
  throw new HypervisorError(
    'UNSUPPORTED',
    `the file has ${size}: copy it out with "files get" and bring it into the guest over its network`,
  );
}

async function writeInPlace(
  agent: GuestAgent,
  file: GuestFile,
  options: PutOptions & { readonly why: string },
): Promise<PutFile> {
  const { path, overwrite } = file;
  const replaced = await canBeRead(agent, path, options.signal);
  if (replaced && !overwrite) throw exists(path);
  try {
    await writeAndCompare(agent, path, file, options);
  } catch (cause) {
    const failed = inGuest(cause, path);
    if (!(failed instanceof HypervisorError)) throw failed;
    const more = `${failed.message}; the file may be incomplete there`;
    throw new HypervisorError(failed.code, more, { cause, native: failed.native });
  }
  const what =
    'it has the owner and the mode that the agent gives: often everyone may read and write it';
  return { replaced, lost: [`${what}: ${options.why}`] };
}

async function writeAndCompare(
  agent: GuestAgent,
  path: string,
  { bytes }: GuestFile,
  { signal, onProgress }: PutOptions,
): Promise<void> {
  await withGuestFile(agent, { path, mode: 'w', signal }, async (open) => {
    for (let at = 0; at < bytes.length; ) {
      at += await open.write(bytes.subarray(at));
      onProgress({ phase: 'write', position: at });
    }
    await open.flush();
  });
  await withGuestFile(agent, { path, mode: 'r', signal }, async (open) => {
    let at = 0;
    for (;;) {
      const part = await open.read();
      if (Buffer.compare(part, bytes.subarray(at, at + part.length)) !== 0) throw differs(at);
      at += part.length;
      if (part.length === 0) break;
      onProgress({ phase: 'compare', position: at });
    }
    if (at !== bytes.length) throw differs(at);
  });
}

function differs(at: number): HypervisorError {
  const what = 'what was read back is not what was written';
  return new HypervisorError(
    'CONFLICT',
    `${what}, from byte ${at} on: does the guest write the same file?`,
  );
}

/**
 * A user of the guest who may write into the directory can put a link in the place of the file, to have the agent
 * change another one. No program opens a file without following links, so it is looked for before each step.
 */
async function refuseLink(agent: GuestAgent, path: string, signal: AbortSignal): Promise<void> {
  if (!(await isSo(agent, ['-L', path], signal))) return;
  const what = `${printable(path)} became a link while the file was written`;
  throw new HypervisorError(
    'CONFLICT',
    `${what}: a user of the guest may write into that directory, and has put it there; put the file elsewhere`,
  );
}

/** Its owner first: a new owner loses the set-ID bits. */
async function dress(
  agent: GuestAgent,
  path: string,
  { owner, mode }: GuestFile,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const lost: string[] = [];
  const steps = [
    ...(owner ? [['chown', '-h', `${owner.user}:${owner.group}`, path]] : []),
    ...(mode === undefined ? [] : [['chmod', mode.toString(8), path]]),
  ];
  for (const step of steps) {
    await refuseLink(agent, path, signal);
    const { code, said } = await runInGuest(agent, step, signal);
    if (code !== 0) lost.push(`${step.slice(0, -1).join(' ')}: ${printable(said)}`);
  }
  return lost;
}

/** Without `overwrite` by a link, which never replaces a file that has appeared in the meantime. */
async function publish(
  agent: GuestAgent,
  temporary: string,
  { path, overwrite }: GuestFile,
  signal: AbortSignal,
): Promise<void> {
  if (overwrite) return succeed(agent, ['mv', '-f', temporary, path], signal);
  const { code } = await runInGuest(agent, ['ln', temporary, path], signal);
  if (code === 0) return succeed(agent, ['rm', '-f', temporary], signal);
  if (await isSo(agent, ['-e', path], signal)) throw exists(path);
  // A file system without hard links.
  await succeed(agent, ['mv', '-n', temporary, path], signal);
  if (await isSo(agent, ['-e', temporary], signal)) throw exists(path);
}

/** Whether there is a file that may be replaced. Rejects EXISTS, and CONFLICT for what is no file. */
async function refuseToReplace(
  agent: GuestAgent,
  { path, overwrite }: GuestFile,
  signal: AbortSignal,
): Promise<boolean> {
  const parent = parentOf(path) || '/';
  if (!(await isSo(agent, ['-d', parent], signal))) {
    const advice = `there is no directory ${printable(parent)} in the guest: create it there first`;
    throw new HypervisorError('NOT_FOUND', advice);
  }
  if (await isSo(agent, ['-d', path], signal)) {
    const what = `${printable(path)} is a directory of the guest: give the path of the file itself`;
    throw new HypervisorError('CONFLICT', what);
  }
  const isThere =
    (await isSo(agent, ['-e', path], signal)) || (await isSo(agent, ['-L', path], signal));
  if (isThere && !overwrite) throw exists(path);
  return isThere;
}

function exists(path: string): HypervisorError {
  const advice = 'give another name, or replace it (--overwrite)';
  return new HypervisorError('EXISTS', `${printable(path)} exists in the guest: ${advice}`);
}

async function isSo(
  agent: GuestAgent,
  words: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  return (await runInGuest(agent, ['test', ...words], signal)).code === 0;
}

async function succeed(
  agent: GuestAgent,
  words: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { code, said } = await runInGuest(agent, words, signal);
  if (code === 0) return;
  const how = said === '' ? `exit code ${code ?? 'none'}` : printable(said);
  throw new HypervisorError('FAILED', `"${words[0]}" failed: ${how}`);
}

/** By opening it. Rejects if that fails for another reason than that there is none. */
async function canBeRead(agent: GuestAgent, path: string, signal: AbortSignal): Promise<boolean> {
  try {
    await withGuestFile(agent, { path, mode: 'r', signal }, async () => {});
    return true;
  } catch (cause) {
    // The agent's words: of the C library, and of Windows.
    const isNone =
      cause instanceof HypervisorError && /no such file|cannot find/i.test(cause.message);
    if (isNone) return false;
    throw inGuest(cause, path);
  }
}

/** The same with the file's name, and with a code where the agent's words say more than that it failed. */
function inGuest(cause: unknown, path: string): unknown {
  if (!(cause instanceof HypervisorError) || cause.message.includes(printable(path))) return cause;
  const { message, native } = cause;
  if (cause.code !== 'FAILED') {
    return new HypervisorError(cause.code, `${printable(path)}: ${message}`, { cause, native });
  }
  const code = /no space left/i.test(message)
    ? 'NO_SPACE'
    : /permission denied|not permitted|read-only file system/i.test(message)
      ? 'DENIED'
      : 'FAILED';
  return new HypervisorError(code, `${printable(path)} in the guest: ${message}`, {
    cause,
    native,
  });
}

/** The directory of a file, in a guest with the programs of Unix; empty: the root. */
function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
