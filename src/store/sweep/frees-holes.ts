import { join } from 'node:path/posix';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Store } from '../directory/store.ts';

const NAME = 'sweep-probe.tmp';
const LENGTH = 128 * 1024;

/** Whether the store's file system gives back the space of a hole in a file. A small file is tried. */
export async function freesHoles({ files, directory }: Store): Promise<boolean> {
  if ((await files.space(directory)).keepsHoles) return false;
  const path = join(directory, NAME);
  try {
    if (await files.stat(path)) await files.unlink(path);
    await using file = await files.create(path);
    await file.write(new Uint8Array(LENGTH).fill(0xff), 0);
    await file.sync();
    const before = (await files.stat(path))?.allocated ?? 0;
    await file.punchHole(0, LENGTH / 2);
    await file.sync();
    const after = (await files.stat(path))?.allocated ?? 0;
    return before - after >= LENGTH / 4;
  } catch (cause) {
    // On a full disk it cannot be tried. A pack whose holes stay is only not smaller.
    if (!(cause instanceof SystemError) || cause.code !== 'NO_SPACE') throw cause;
    return true;
  } finally {
    if (await files.stat(path)) await files.unlink(path);
  }
}
