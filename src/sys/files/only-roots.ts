import { lstatSync } from 'node:fs';
import { systemError } from '../base/system-error.ts';

/* What root runs, or has run for it, must be of root's making: no other user may be able to change it. */

const OTHERS_WRITE = 0o022;

/** Why other users than root could have made this what it is; undefined: they could not. Links are not followed. */
export function notOnlyRoots(path: string, kind: 'file' | 'directory'): string | undefined {
  let found;
  try {
    found = lstatSync(path);
  } catch (cause) {
    throw systemError(cause, `look at ${path}`);
  }
  const { mode, uid, gid } = found;
  const isKind = kind === 'file' ? found.isFile() : found.isDirectory();
  if (!isKind) return `it is not a ${kind === 'file' ? 'regular file' : 'directory'}`;
  if (uid !== 0) return `it belongs to user ${uid}, not to root`;
  // A group of root's own may write.
  const others = gid === 0 ? OTHERS_WRITE & 0o007 : OTHERS_WRITE;
  return (mode & others) === 0 ? undefined : 'users other than root may write to it';
}

/** Whether all users may read and run the file. */
export function isForAllToRun(path: string): boolean {
  const all = 0o005;
  return (lstatSync(path).mode & all) === all;
}
