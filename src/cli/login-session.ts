import { resolve } from 'node:path/posix';
import { askService } from '../client/service-client.ts';
import { OperationFailure } from '../operations/base/failure.ts';
import { SERVICE_SOCKET } from '../client/service-socket.ts';
import { asError } from '../lib/as-error.ts';
import { EXIT_CODES } from '../operations/base/failure.ts';
import { systemClock } from '../sys/base/clock.ts';
import { run, start } from '../sys/process/run.ts';
import { realFileSystem } from '../sys/files/real-file-system.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { commandWords } from './split-words.ts';
import { main } from './run.ts';
import { UsageError } from './base/command-errors.ts';

export interface LoginRequest {
  /** The command that came with the login; undefined: an interactive login. */
  readonly asked: string | undefined;
  /** Address and port of the client, and ours, as sshd writes them. */
  readonly from: string | undefined;
}

/** The time until which a shell is allowed, as `date +%s` writes it. Only root writes there. */
const SHELL_FILE = '/etc/holdfast/ssh/shell-until';
const SHELL_FILE_LENGTH_MAX = 64;
const SHELL = '/bin/bash';
const LOGGER_MS = 5000;
const SERVICE_MS = 10_000;
/** They mount, or read the store's own files: only for root at the box, not for this login. */
const LOCAL = ['mount', 'files list', 'files find', 'files get', 'store cat'];
/** Commands use this box's service, and descriptors that sshd has open are not secrets. */
const LOCAL_OPTIONS = [
  '--store',
  '--socket',
  '--server',
  '--passphrase-fd',
  '--boot',
  '--volume-key-file',
];

/** Resolves with the exit code. */
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

/** Throws UsageError for commands that are not allowed to a login over the network. */
export function admitted(words: readonly string[]): readonly string[] {
  const command = LOCAL.find((it) => it.split(' ').every((word, at) => words[at] === word));
  if (command !== undefined) throw new UsageError(`"holdfast ${command}" is for root at the box`);
  // A word that is not an option is the directory of another store, which the service does not hold.
  const isPlace = (word: string): boolean => word === '--' || !/^-./.test(word);
  if (words[0] === 'store' && words[1] === 'create' && words.slice(2).some(isPlace)) {
    throw new UsageError('"holdfast store create" creates the store of the service: give no DIR');
  }
  const end = words.indexOf('--');
  const options = words.slice(0, end < 0 ? undefined : end);
  const option = LOCAL_OPTIONS.find((it) => options.some((word) => word.split('=')[0] === it));
  if (option !== undefined) throw new UsageError(`${option} is for commands at the box`);
  return words;
}

/** A real shell, while root has allowed it; each is noted in the journal. */
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
 * Why there is no shell now; undefined: there is no objection. A lockdown protects against logins like this one,
 * which can keep a service too busy to answer: without an answer the lockdown counts as on. Only where no service
 * listens, which no login can bring about, a shell is allowed, because it may be needed for repairs.
 */
export async function lockedBy(at: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const options = { secret: undefined, report: () => {}, signal };
    // Not lockdown/show, which fails if there is no store yet, and so no lockdown.
    const { lockdown } = await askService(at, 'service/show', {}, options);
    return lockdown === null ? undefined : 'the lockdown is on';
  } catch (cause) {
    if (isNobodyThere(cause)) return undefined;
    const isWorld = cause instanceof SystemError || cause instanceof OperationFailure;
    if (!isWorld && !signal.aborted) throw cause;
    return (
      `the service does not say whether a lockdown is on (${asError(cause).message}). ` +
      'A service that hangs is restarted within a minute or two: try again then'
    );
  }
}

function isNobodyThere(cause: unknown): boolean {
  if (!(cause instanceof SystemError)) return false;
  // Not for every lost peer: one that hangs up does listen.
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
    // An editor may have rewritten it under a strict umask, or it is not a regular file.
    if (cause instanceof SystemError) return 'unreadable';
    throw cause;
  }
}
