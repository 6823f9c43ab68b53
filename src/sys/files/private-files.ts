import { statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { SystemError, systemError } from '../base/system-error.ts';

/** This user's home directory, as the machine knows it; `HOME` takes precedence. */
export function homeDirectory(): string {
  const { HOME } = process.env;
  if (HOME !== undefined && HOME.startsWith('/')) return HOME;
  try {
    return userInfo().homedir;
  } catch (cause) {
    throw new SystemError('FAILED', 'this user has no home directory: set HOLDFAST_STATE', {
      cause,
    });
  }
}

/**
 * Throws DENIED if other users have any access to the file, or if its owner is neither this user nor root. Root
 * accepts a file of any user, because it also reads the files of services.
 */
export function requirePrivate(path: string): void {
  checkPrivate(path, '600');
}

/** As `requirePrivate`, for a directory. */
export function requirePrivateDirectory(path: string): void {
  checkPrivate(path, '700');
}

function checkPrivate(path: string, right: string): void {
  let mode: number;
  let uid: number;
  try {
    ({ mode, uid } = statSync(path));
  } catch (cause) {
    throw systemError(cause, `stat ${path}`);
  }
  const own = process.getuid!();
  if (own !== 0 && uid !== own && uid !== 0) {
    throw new SystemError('DENIED', `${path} belongs to user ${uid}, not to ${own}`);
  }
  if ((mode & 0o077) === 0) return;
  const found = (mode & 0o777).toString(8).padStart(3, '0');
  throw new SystemError(
    'DENIED',
    `${path} has mode ${found}: others may use it; chmod ${right} ${path}`,
  );
}

/** Whether the directory belongs to this user. */
export function isOwnDirectory(path: string): boolean {
  try {
    return statSync(path).uid === process.getuid!();
  } catch (cause) {
    throw systemError(cause, `stat ${path}`);
  }
}
