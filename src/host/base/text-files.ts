import { dirname } from 'node:path/posix';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';

/* Small files of the machine, each replaced as a whole. */

const LENGTH_MAX = 1024 * 1024;

/** Undefined: there is no such file. */
export async function readText(files: FileSystem, path: string): Promise<string | undefined> {
  if ((await files.stat(path)) === undefined) return undefined;
  return Buffer.from(await files.readFile(path, LENGTH_MAX)).toString('utf8');
}

/** Writes a file that all users can read. */
export async function writeText(files: FileSystem, path: string, text: string): Promise<void> {
  await files.makeDirectory(dirname(path), 'shared');
  await putDurably(files, path, Buffer.from(text, 'utf8'), 'shared');
}

export async function removeText(files: FileSystem, path: string): Promise<void> {
  if ((await files.stat(path)) === undefined) return;
  await files.unlink(path);
  await files.syncDirectory(dirname(path));
}
