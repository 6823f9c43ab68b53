import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path/posix';
import { systemError } from '../base/system-error.ts';

/** A new directory that only this user may enter; disposing removes it with all that is in it. */
export interface PrivateDirectory extends AsyncDisposable {
  readonly path: string;
}

/** Where this user may make directories that do not last. */
export function temporaryParent(): string {
  return tmpdir();
}

export async function privateDirectory(): Promise<PrivateDirectory> {
  let path: string;
  try {
    path = await mkdtemp(join(tmpdir(), 'holdfast-'));
  } catch (cause) {
    throw systemError(cause, 'create a temporary directory');
  }
  return {
    path,
    async [Symbol.asyncDispose]() {
      try {
        await rm(path, { recursive: true, force: true });
      } catch (cause) {
        throw systemError(cause, `remove ${path}`);
      }
    },
  };
}
