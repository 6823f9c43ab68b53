import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import { markedFile, type MarkedRecord, orderDigest } from '../formats/store/service/box.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { type BoxFiles, MARKED } from './box-files.ts';

/*
 * Up to which record this box has said what keeps a recovery point: reveals that an older one was put back, which may
 * lack a hold or a lock. A small file for each point, written after the record; one that is lost reveals less.
 */
export interface MarkedMemory {
  /** All of the set, by point; unreadable ones are skipped. */
  of(set: string): Promise<ReadonlyMap<string, number>>;
  /** Rejects if it cannot be recorded. */
  note(marked: Marked): Promise<void>;
  forget(set: string, points: readonly string[]): Promise<void>;
  /** A later set of this name is another one. */
  forgetSet(set: string): Promise<void>;
}

type Marked = Omit<MarkedRecord, 'store' | 'path'>;

const SUFFIX = '.json';
const LENGTH_MAX = 64 * 1024;

/** `path`: a copy of the store elsewhere has a state of its own. */
export function markedMemory(
  core: BoxFiles,
  { id, path }: { readonly id: string; readonly path: string },
): MarkedMemory {
  const { files } = core.world;
  const parent = join(core.directory, MARKED);
  // Names of the store must not become paths.
  const directoryOf = (set: string, key: Uint8Array): string =>
    join(parent, orderDigest({ store: id, set }, key));
  const fileOf = (set: string, point: string, key: Uint8Array): string =>
    join(directoryOf(set, key), orderDigest({ point }, key) + SUFFIX);

  /** Undefined: nothing was ever remembered, or it cannot be read, and stays as it is. */
  async function knownKey(): Promise<Uint8Array | undefined> {
    const loaded = await core.load();
    return loaded.kind === 'damaged' ? undefined : loaded.key;
  }
  async function read(file: string, key: Uint8Array): Promise<MarkedRecord | undefined> {
    try {
      return markedFile.decode(await files.readFile(file, LENGTH_MAX), key);
    } catch (cause) {
      if (!(cause instanceof FormatError) && !(cause instanceof SystemError)) throw cause;
      return undefined;
    }
  }
  return {
    async of(set) {
      const found = new Map<string, number>();
      const key = await knownKey();
      const directory = key && directoryOf(set, key);
      if (!directory || !(await files.stat(directory))) return found;
      for (const name of await files.list(directory)) {
        const record = name.endsWith(SUFFIX) ? await read(join(directory, name), key) : undefined;
        const isOwn = record?.store === id && record.path === path && record.set === set;
        if (isOwn) found.set(record.point, record.counter);
      }
      return found;
    },
    async note(marked) {
      const key = await knownKey();
      if (!key) return;
      // Never writes to the directory of another user.
      await core.prepare();
      await files.makeDirectory(directoryOf(marked.set, key));
      for (const made of [core.directory, parent]) await files.syncDirectory(made);
      const bytes = markedFile.encode({ store: id, path, ...marked }, key);
      await putDurably(files, fileOf(marked.set, marked.point, key), bytes);
    },
    async forget(set, points) {
      const key = await knownKey();
      if (!key) return;
      for (const point of points) {
        const file = fileOf(set, point, key);
        if (await files.stat(file)) await files.unlink(file);
      }
    },
    async forgetSet(set) {
      const key = await knownKey();
      if (key) await files.removeTree(directoryOf(set, key));
    },
  };
}
