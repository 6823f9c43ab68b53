import { join } from 'node:path/posix';
import { SystemError } from '../../sys/base/system-error.ts';
import type { Store } from '../directory/store.ts';

const LENGTH = 128 * 1024;
const UNTRIED: ReadonlySet<string> = new Set(['NO_SPACE', 'DENIED']);

/** Whether the store's file system gives back the space of a hole in a file. A small file is tried. */
export async function freesHoles({ files, directory, random }: Store): Promise<boolean> {
  if ((await files.space(directory)).keepsHoles) return false;
  const path = join(directory, `sweep-probe-${Buffer.from(random.bytes(6)).toString('hex')}.tmp`);
  try {
    await using file = await files.create(path);
    await file.write(new Uint8Array(LENGTH).fill(0xff), 0);
    await file.sync();
    const before = (await files.stat(path))?.allocated ?? 0;
    await file.punchHole(0, LENGTH / 2);
    await file.sync();
    const after = (await files.stat(path))?.allocated ?? 0;
    return before - after >= LENGTH / 4;
  } catch (cause) {
    // On a full disk, or one that is only read, it cannot be tried. A pack whose holes stay is only not smaller.
    if (!(cause instanceof SystemError) || !UNTRIED.has(cause.code)) throw cause;
    return true;
  } finally {
    if (await files.stat(path)) await files.unlink(path);
  }
}
