import type { Clock } from '../../sys/base/clock.ts';
import type { File, FileSystem } from '../../sys/files/file-system.ts';
import { type OpenFiles, openFiles } from '../../sys/files/open-files.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { packPath } from './pack-path.ts';
import type { PackReading } from './pack-store.ts';
import { StoreError } from './store-error.ts';

/** The bytes of packs that are files. Worker threads load no more than this. */
export type PackReads = Pick<PackReading, 'read' | 'tryRead' | 'readBlocking' | 'willNeed'>;

/** Packs kept open: far below the usual limit of 1,024 descriptors of a process. */
const OPEN_FILES_MAX = 64;

/** How often packs that are open are looked for: a removed one keeps its space until it is closed. */
const LOOK_MS = 1000;

/** `directory`: the store's `packs`. Disposing `handles` closes what was opened. */
export function packReads(
  files: FileSystem,
  directory: string,
  clock: Pick<Clock, 'monotonicMs'>,
): PackReads & { readonly handles: OpenFiles<number> } {
  const handles = openFiles<number>(openPack, OPEN_FILES_MAX);
  let lookedMs = clock.monotonicMs();

  const isLookDue = (): boolean => clock.monotonicMs() - lookedMs >= LOOK_MS;

  /** Closes packs that a sweep has removed. One that is gone otherwise, as by an unmount, is read to the end. */
  async function closeRemoved(): Promise<void> {
    if (!isLookDue()) return;
    lookedMs = clock.monotonicMs();
    try {
      for (const pack of [...handles.keys()]) {
        if (await files.stat(packPath(directory, pack))) continue;
        const { isRemoved } = await import('./removed-packs.ts');
        if (await isRemoved(files, directory, pack)) await handles.forget(pack);
      }
    } catch (cause) {
      // What is open can be read all the same.
      if (!(cause instanceof SystemError)) throw cause;
    }
  }
  async function use<T>(pack: number, work: (file: File) => Promise<T>): Promise<T> {
    await closeRemoved();
    return handles.use(pack, work);
  }

  async function openPack(pack: number): Promise<File> {
    try {
      return await files.open(packPath(directory, pack), 'read');
    } catch (cause) {
      const missing = cause instanceof SystemError && cause.code === 'NOT_FOUND';
      throw new StoreError(missing ? 'MISSING' : 'IO', `pack ${pack} cannot be opened`, { cause });
    }
  }
  function whole(count: number, into: Uint8Array, pack: number, offset: number): void {
    if (count === into.length) return;
    throw new StoreError('CORRUPT', `pack ${pack} ends before ${offset}+${into.length}`);
  }
  return {
    handles,
    read: (into, pack, offset) =>
      use(pack, async (file) => whole(await file.read(into, offset), into, pack, offset)),
    tryRead(into, pack, offset) {
      // The other way of reading looks.
      if (isLookDue()) return false;
      const file = handles.opened(pack);
      if (file) whole(file.readNow(into, offset), into, pack, offset);
      // It will be open the next time; the other way of reading reports a failure.
      else handles.use(pack, async () => {}).catch(() => {});
      return file !== undefined;
    },
    readBlocking: (into, pack, offset) =>
      use(pack, async (file) => whole(file.readNow(into, offset), into, pack, offset)),
    willNeed(pack, offset, length) {
      // A later read reports the failure.
      handles.use(pack, async (file) => file.willNeed(offset, length)).catch(() => {});
    },
  };
}
