import { basename, dirname } from 'node:path/posix';
import { fileURLToPath } from 'node:url';

export interface SandboxProgram {
  readonly node: string;
  /** The directory with the first process of a sandbox, and all that it imports. */
  readonly directory: string;
  /** Its name in there. */
  readonly name: string;
}

/** What runs in a sandbox before its script: sandbox-main.ts. */
export function sandboxProgram(): SandboxProgram {
  const path = fileURLToPath(new URL('./sandbox-main.ts', import.meta.url));
  return { node: process.execPath, directory: dirname(path), name: basename(path) };
}
