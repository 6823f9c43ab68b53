import { realpath } from 'node:fs/promises';
import { systemError } from './system-error.ts';

/** Where `path` leads after all links; undefined: nowhere. Rejects DENIED where this process may not look. */
export async function realPath(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (cause) {
    const error = systemError(cause, path);
    if (error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}
