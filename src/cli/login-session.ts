import { resolve } from 'node:path/posix';
import { askService } from '../client/service-client.ts';
import { OperationFailure } from '../operations/failure.ts';
import { SERVICE_SOCKET } from '../client/service-socket.ts';
import { asError } from '../lib/as-error.ts';
import { EXIT_CODES } from '../operations/failure.ts';
import { systemClock } from '../sys/base/clock.ts';
import { run, start } from '../sys/process/run.ts';
import { realFileSystem } from '../sys/files/real-file-system.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { commandWords } from './split-words.ts';
import { main } from './run.ts';
import { UsageError } from './base/command-errors.ts';

export interface LoginRequest {
  /** The command that came with the login; undefined: a person who wants to look around. */
  readonly asked: string | undefined;
  /** Address and port of the client, and ours, as sshd writes them. */
  readonly from: string | undefined;
}

/** Until when there is a shell, as `date +%s` writes it. Only root writes there. */
const SHELL_FILE = '/etc/holdfast/ssh/shell-until';
const SHELL_FILE_LENGTH_MAX = 64;
const SHELL = '/bin/bash';
const LOGGER_MS = 5000;
const SERVICE_MS = 10_000;
/** They mount, or read the store's own files: for root at the box, not for a login of its own. */
const LOCAL = ['mount', 'files list', 'files find', 'files get', 'store cat'];
/** Of this box's service is asked, and descriptors that sshd has open are no secrets. */
const LOCAL_OPTIONS = [
  '--store',
  '--socket',
  '--server',
  '--passphrase-fd',
  '--boot',
  '--volume-key-file',
];

/** Answers the exit code. */
export async function login({ asked, from }: LoginRequest): Promise<number> {
  try {
    const words = asked === undefined ? [] : commandWords(asked);
    if (words.length === 0) return await main(['console']);
    if (words.length === 1 && words[0] === 'shell') return await shell(from);
    if (words[0] !== 'holdfast') {
      throw new UsageError('only commands of Holdfast run here, such as: holdfast session list');
    }
    return await main(admitted(words.slice(1)));
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    process.stderr.write(`${cause.message}\n`);
    return EXIT_CODES.usage;
  }
}

/** Throws UsageError for what is not for a login over the network. */
export function admitted(words: readonly string[]): readonly string[] {
  const command = LOCAL.find((it) => it.split(' ').every((word, at) => words[at] === word));
  if (command !== undefined) throw new UsageError(`"holdfast ${command}" is for root at the box`);
  // What is no option there is the directory of another store, which the service does not have.
  const isPlace = (word: string): boolean => word === '--' || !/^-./.test(word);
  if (words[0] === 'store' && words[1] === 'create' && words.slice(2).some(isPlace)) {
    throw new UsageError(
      '"holdfast store create" makes the store that the service is set to: no DIR',
    );
  }
  const end = words.indexOf('--');
  const options = words.slice(0, end < 0 ? undefined : end);
  const option = LOCAL_OPTIONS.find((it) => options.some((word) => word.split('=')[0] === it));
  if (option !== undefined) throw new UsageError(`${option} is for commands at the box`);
  return words;
}

/** A real shell, while root has allowed it; the journal hears of each. */
async function shell(from: string | undefined): Promise<number> {
  const clock = systemClock();
  const until = await shellUntil();
  const isTime = typeof until === 'number' && clock.now().getTime() / 1000 < until;
  const at = resolve(process.env['HOLDFAST_SOCKET'] ?? SERVICE_SOCKET);
  const locked = isTime ? await lockedBy(at, AbortSignal.timeout(SERVICE_MS)) : undefined;
  const isAllowed = isTime && locked === undefined;
  const why = until === 'unreadable' ? `: ${SHELL_FILE} cannot be read` : '';
  const what = `${isAllowed ? 'a shell' : 'a shell was refused'} to ${from ?? 'a local login'}${why}`;
  const priority = `auth.${isAllowed ? 'notice' : 'warning'}`;
  await run('logger', ['-t', 'holdfast-login', '-p', priority, '--', what], {
    timeoutMs: LOGGER_MS,
  });
  if (locked !== undefined) throw new UsageError(`there is no shell: ${locked}`);
  if (!isAllowed) {
    throw new UsageError('there is no shell. For two hours: holdfast ssh shell --for 2h');
  }
  const program = await start(SHELL, ['--login'], { output: 'inherit' });
  return (await program.exited).code ?? EXIT_CODES.failed;
}

/**
 * Why there is no shell now; undefined: nothing speaks against one. A lockdown is against logins like this one, which
 * can keep a service so busy that it does not answer: whatever it does not say counts as a lockdown. Only where
 * nobody listens, which no login can bring about, a shell may be what mends that.
 */
export async function lockedBy(at: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const options = { secret: undefined, report: () => {}, signal };
    // And not lockdown/show, which fails where there is no store yet, and so no lockdown.
    const { lockdown } = await askService(at, 'service/show', {}, options);
    return lockdown === null ? undefined : 'the lockdown is on';
  } catch (cause) {
    if (isNobodyThere(cause)) return undefined;
    const isWorld = cause instanceof SystemError || cause instanceof OperationFailure;
    if (!isWorld && !signal.aborted) throw cause;
    return (
      `the service does not say whether a lockdown is on (${asError(cause).message}). ` +
      'One that hangs is started again within a minute or two: try again then'
    );
  }
}

function isNobodyThere(cause: unknown): boolean {
  if (!(cause instanceof SystemError)) return false;
  // Not every peer that went away: one that hangs up listens.
  const { code } = (cause.cause ?? {}) as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ECONNREFUSED';
}

async function shellUntil(): Promise<number | 'unreadable' | undefined> {
  const files = realFileSystem();
  try {
    if ((await files.stat(SHELL_FILE)) === undefined) return undefined;
    const text = Buffer.from(await files.readFile(SHELL_FILE, SHELL_FILE_LENGTH_MAX)).toString();
    return /^\d{1,12}\s*$/.test(text) ? Number(text) : undefined;
  } catch (cause) {
    // An editor that wrote it anew, under a strict umask, or something else of that name.
    if (cause instanceof SystemError) return 'unreadable';
    throw cause;
  }
}
