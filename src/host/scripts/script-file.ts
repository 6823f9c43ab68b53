import { join } from 'node:path/posix';
import { isForAllToRun, notOnlyRoots } from '../../sys/files/only-roots.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { HostError } from '../base/host-error.ts';

/*
 * Scripts of the administrator's that prove recovery points. A person who may ask for a proof names one of them, and
 * cannot bring one: they come from a directory to which only root writes.
 */

const SCRIPTS = '/etc/holdfast/verify.d';

/** Its path. Rejects NOT_FOUND; REFUSED if users other than root could have written it, or it cannot be run. */
export function checkScript(name: string, directory = SCRIPTS): string {
  const path = join(directory, name);
  try {
    for (const [place, kind] of [
      [directory, 'directory'],
      [path, 'file'],
    ] as const) {
      const why = notOnlyRoots(place, kind);
      if (why === undefined) continue;
      throw new HostError('REFUSED', `${place}: ${why}: make it root's, with chmod 755`);
    }
  } catch (cause) {
    if (!(cause instanceof SystemError) || cause.code !== 'NOT_FOUND') throw cause;
    const what = `there is no script ${path}`;
    throw new HostError('NOT_FOUND', `${what}: scripts for "verify" are files there, of root's`, {
      cause,
    });
  }
  if (!isForAllToRun(path)) {
    throw new HostError('REFUSED', `${path}: not all users may read and run it: chmod 755`);
  }
  return path;
}
