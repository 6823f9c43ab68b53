import { readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path/posix';
import { SystemError, systemError } from '../base/system-error.ts';

/**
 * The path after all links are followed; undefined: it leads nowhere. Rejects DENIED if this process has no
 * permission to look.
 */
export async function realPath(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (cause) {
    const error = systemError(cause, path);
    if (error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** As many links as the kernel follows (path_resolution(7)). */
const LINKS_MAX = 40;

/**
 * The path, without links, of a file that would be made at `path`: links are followed, even one whose target does not
 * exist yet. Rejects NOT_FOUND if the directory is missing, and DENIED.
 */
export async function realTarget(path: string): Promise<string> {
  let wanted = resolve(path);
  for (let links = 0; links <= LINKS_MAX; links++) {
    const directory = await realPath(dirname(wanted));
    if (directory === undefined) {
      throw new SystemError('NOT_FOUND', `${path}: there is no directory ${dirname(wanted)}`);
    }
    const place = join(directory, basename(wanted));
    const next = await linkAt(place);
    if (next === undefined) return place;
    wanted = resolve(directory, next);
  }
  throw new SystemError('IO', `${path}: its links lead in a circle`);
}

async function linkAt(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    // EINVAL: it is there, and not a link.
    if (code === 'EINVAL' || code === 'ENOENT') return undefined;
    throw systemError(cause, path);
  }
}
