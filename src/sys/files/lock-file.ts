import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOCK_EXCLUSIVE, LOCK_NOT_BLOCKING, libc } from '../base/libc.ts';
import { SystemError, systemError } from '../base/system-error.ts';

/** The holder of a lock, as written into its file. */
interface Holder {
  readonly holder: string;
  readonly pid: number;
  readonly host: string;
  readonly since: string;
}

const EWOULDBLOCK = 11;
/** `lockHolder` itself takes the lock for a moment to find out: then it is worth trying again. */
const TRIES = 5;
const TRY_AGAIN_MS = 10;
/**
 * A process that is killed while it starts another one leaves its lock to that one until its program begins: for this
 * short time no holder can be named.
 */
const TRIES_AFTER_DEATH = 500;
/** A holder's record is one line; anything longer is not a record of ours. */
const RECORD_LENGTH_MAX = 4096;

/**
 * Holds a lock on `path` until disposed or until this process ends in any way. The lock is the kernel's (flock); the
 * contents of the file only name the holder. Rejects BUSY, naming the holder; INVALID for a symbolic link.
 */
export async function takeLock(path: string, holder: string): Promise<AsyncDisposable> {
  const fd = openLock(path);
  try {
    await lockFile(fd, path);
  } catch (cause) {
    closeSync(fd);
    throw cause;
  }
  const record = { holder, pid: process.pid, host: hostname(), since: new Date().toISOString() };
  note(fd, `${JSON.stringify(record satisfies Holder)}\n`);
  let held = true;
  return {
    async [Symbol.asyncDispose]() {
      if (!held) return;
      held = false;
      // The file stays: removing it would allow two processes to lock two files of the same name.
      note(fd, '');
      closeSync(fd);
    },
  };
}

async function lockFile(fd: number, path: string): Promise<void> {
  for (let tries = 1; libc().flock(fd, LOCK_EXCLUSIVE | LOCK_NOT_BLOCKING) !== 0; tries++) {
    const errno = libc().errno();
    if (errno !== EWOULDBLOCK) throw new SystemError('IO', `lock ${path}: errno ${errno}`);
    const isWorthIt = tries < TRIES || (tries < TRIES_AFTER_DEATH && isHolderDead(path));
    if (!isWorthIt) throw new SystemError('BUSY', `${path} is in use by ${who(path)}`);
    await sleep(TRY_AGAIN_MS);
  }
}

/** Best effort: on a full disk the text is missing, but the lock itself is held, which freeing space requires. */
function note(fd: number, text: string): void {
  try {
    ftruncateSync(fd, 0);
    writeSync(fd, text, 0);
  } catch {
    // The holder then stays unnamed.
  }
}

/** The text that the holder gave, if `path` is held now. */
export function lockHolder(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch {
    return undefined;
  }
  const free = libc().flock(fd, LOCK_EXCLUSIVE | LOCK_NOT_BLOCKING) === 0;
  closeSync(fd);
  return free ? undefined : who(path);
}

function openLock(path: string): number {
  try {
    // Without O_NOFOLLOW the target of a link would be overwritten with the holder's name.
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (cause) {
    throw systemError(cause, `open lock ${path}`);
  }
}

function who(path: string): string {
  const found = recordIn(path);
  if (!found) return 'another process';
  return `${found.holder} (process ${found.pid} on ${found.host}, since ${found.since})`;
}

/** Whether the record names a process of this host that no longer exists, as far as that can be known. */
function isHolderDead(path: string): boolean {
  const found = recordIn(path);
  if (found?.host !== hostname()) return false;
  try {
    process.kill(found.pid, 0);
    return false;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

/** Undefined: between two holders, or not a record of ours. */
function recordIn(path: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8').slice(0, RECORD_LENGTH_MAX)) as Holder;
  } catch {
    return undefined;
  }
}
