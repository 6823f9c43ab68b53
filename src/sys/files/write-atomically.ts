import { dirname } from 'node:path/posix';
import type { FileSystem } from './file-system.ts';

/**
 * Publishes `bytes` under `path`, all or nothing: once this resolves the file survives a power cut, and before that a
 * reader sees the old file, or none, or the whole new one. One writer per path.
 */
export async function putDurably(
  files: FileSystem,
  path: string,
  bytes: Uint8Array,
  access: 'private' | 'shared' = 'private',
): Promise<void> {
  const temporary = `${path}.tmp`;
  // A power cut may have left a temporary file behind.
  if (await files.stat(temporary)) await files.unlink(temporary);
  {
    await using file = await files.create(temporary, access);
    await file.write(bytes, 0);
    // Without this sync the rename may reach the disk before the contents do.
    await file.sync();
  }
  await files.rename(temporary, path);
  // The rename itself lives in the directory: without this a power cut can bring the old file back.
  await files.syncDirectory(dirname(path));
}
