import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import { publishedFile, orderDigest, type PublishedRecord } from '../formats/store/service/box.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { type BoxFiles, PUBLISHED } from './box-files.ts';

/*
 * The newest recovery point of each machine that this box has published: reveals that an older state of the store's
 * files was put back. A small file for each machine, written after the publication: one that lags behind, or is lost,
 * reveals less; none is ever ahead.
 */
export interface PublishedMemory {
  /** Undefined: there is none, or it cannot be read. */
  get(of: MachineOf): Promise<Published | undefined>;
  /** All records for the store; unreadable ones are skipped. */
  list(): Promise<Published[]>;
  /** Rejects if it cannot be recorded. A newer record stays. */
  note(published: Published): Promise<void>;
  forget(machines: readonly MachineOf[]): Promise<void>;
}

export interface MachineOf {
  readonly set: string;
  readonly machine: string;
}

/** `digest`: hexadecimal. */
export type Published = Omit<PublishedRecord, 'store' | 'path'>;

const SUFFIX = '.json';
const LENGTH_MAX = 64 * 1024;

/** `path`: a copy of the store elsewhere, for example for a trial, has a state of its own. */
export function publishedMemory(
  core: BoxFiles,
  { id, path }: { readonly id: string; readonly path: string },
): PublishedMemory {
  const { files } = core.world;
  const parent = join(core.directory, PUBLISHED);
  // The store's own ID must not become a path.
  const directoryOf = (key: Uint8Array): string => join(parent, orderDigest({ store: id }, key));
  const fileOf = ({ set, machine }: MachineOf, key: Uint8Array): string =>
    join(directoryOf(key), orderDigest({ set, machine }, key) + SUFFIX);

  async function knownKey(): Promise<Uint8Array | undefined> {
    const loaded = await core.load();
    return loaded.kind === 'damaged' ? undefined : loaded.key;
  }
  async function read(file: string, key: Uint8Array): Promise<Published | undefined> {
    try {
      if (!(await files.stat(file))) return undefined;
      const record = publishedFile.decode(await files.readFile(file, LENGTH_MAX), key);
      const { store: of, path: at, ...published } = record;
      return of === id && at === path ? published : undefined;
    } catch (cause) {
      if (!(cause instanceof FormatError) && !(cause instanceof SystemError)) throw cause;
      return undefined;
    }
  }
  async function namesIn(directory: string): Promise<string[]> {
    try {
      return await files.list(directory);
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      return [];
    }
  }
  async function get(of: MachineOf): Promise<Published | undefined> {
    const key = await knownKey();
    return key && (await read(fileOf(of, key), key));
  }
  return {
    get,
    async list() {
      const key = await knownKey();
      if (!key) return [];
      const found: Published[] = [];
      for (const name of await namesIn(directoryOf(key))) {
        if (!name.endsWith(SUFFIX)) continue;
        const published = await read(join(directoryOf(key), name), key);
        if (published) found.push(published);
      }
      return found;
    },
    async note(published) {
      const key = await knownKey();
      // An unreadable memory stays as it is, and one that does not exist yet has no key.
      if (!key || ((await get(published))?.sequence ?? -1) >= published.sequence) return;
      // Never writes to the directory of another user.
      await core.prepare();
      await files.makeDirectory(directoryOf(key));
      for (const made of [core.directory, parent]) await files.syncDirectory(made);
      const record = { store: id, path, ...published };
      await putDurably(files, fileOf(published, key), publishedFile.encode(record, key));
    },
    async forget(machines) {
      const key = await knownKey();
      if (!key) return;
      for (const of of machines) {
        const file = fileOf(of, key);
        if (!(await files.stat(file))) continue;
        await files.unlink(file);
        await files.syncDirectory(directoryOf(key));
      }
    },
  };
}
