import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';

/*
 * How this process sees a path. A service sees another tree than its clients do: systemd puts empty directories over
 * home directories, and private ones over /tmp (ProtectHome=, PrivateTmp= of systemd.exec(5)).
 */

/**
 * Recognizes such a mount of systemd's by the root that proc_pid_mountinfo(5) shows: `/systemd/inaccessible/dir` of
 * /run, in containers `/host/inaccessible/dir`; a directory `systemd-private-...`.
 */
const HIDING = /(?:^|\/)(?:inaccessible\/\w+$|systemd-private-)/;

/** The directory whose own contents are hidden from this process, if `path` is in one. */
export async function hiddenDirectory(path: string): Promise<string | undefined> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const above = lines
    .map((line) => line.split(' '))
    .filter(([, , , , at]) => at !== undefined && (path === at || path.startsWith(`${at}/`)));
  // The last mount covers the earlier ones.
  const nearest = above.findLast(([, , , , at]) =>
    above.every(([, , , , other]) => other!.length <= at!.length),
  );
  const [, , , root, at] = nearest ?? [];
  return root !== undefined && HIDING.test(root) ? at : undefined;
}

/** Also false if the file system is read-only for this process. */
export async function mayWrite(path: string): Promise<boolean> {
  return may(path, constants.W_OK);
}

async function may(path: string, mode: number): Promise<boolean> {
  try {
    await access(path, mode);
    return true;
  } catch {
    return false;
  }
}
