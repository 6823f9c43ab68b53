import { join } from 'node:path/posix';
import { MiB } from '../../lib/sizes.ts';
import { realFileSystem } from '../../sys/files/real-file-system.ts';

/** The release of Holdfast that runs. */
export async function ownRelease(): Promise<string> {
  const path = join(import.meta.dirname, '..', '..', '..', 'package.json');
  const bytes = await realFileSystem().readFile(path, MiB);
  return (JSON.parse(Buffer.from(bytes).toString('utf8')) as { version: string }).version;
}
