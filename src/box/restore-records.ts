import { join } from 'node:path/posix';
import { FormatError } from '../formats/format-error.ts';
import { isName } from '../formats/store/base/names.ts';
import { type RestoreRecord, restoreFile } from '../formats/store/service/restore.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import type { World } from '../sys/world.ts';
import { makeOwnDirectory } from './own-directory.ts';

/*
 * Restores to hypervisors that are under way: what a crash leaves there is known by them. Grammar:
 * formats/store/service/restore.md.
 */

/** Those to one hypervisor, of which this process alone has a restore under way. */
export interface HeldRestores extends AsyncDisposable {
  /** Those that were left, by processes that have ended. `onDamaged` is called for one that cannot be read. */
  left(onDamaged: (what: string) => void): Promise<readonly RestoreRecord[]>;
  /** Durable once resolved. */
  put(record: RestoreRecord): Promise<void>;
  /** The restore has ended, and nothing is left of it. */
  remove(id: string): Promise<void>;
}

const RECORD = '.json';
const LENGTH_MAX = 128 * 1024;

/** Rejects BUSY while another process restores to the hypervisor. */
export async function holdRestores(
  world: World,
  { directory, hypervisor }: { readonly directory: string; readonly hypervisor: string },
): Promise<HeldRestores> {
  const { files } = world;
  await makeOwnDirectory(world, directory);
  const hold = await files.lock(join(directory, `${hypervisor}.lock`), 'a restore');
  const pathOf = (id: string): string => join(directory, `${id}${RECORD}`);
  async function read(id: string): Promise<RestoreRecord> {
    const record = restoreFile.decode(await files.readFile(pathOf(id), LENGTH_MAX));
    if (record.id === id) return record;
    throw new FormatError('CORRUPT', `it is the record of "${record.id}"`);
  }
  return {
    async left(onDamaged) {
      const found: RestoreRecord[] = [];
      for (const name of await files.list(directory)) {
        const id = name.slice(0, -RECORD.length);
        if (!name.endsWith(RECORD) || !isName(id)) continue;
        try {
          const record = await read(id);
          if (record.hypervisor === hypervisor) found.push(record);
        } catch (cause) {
          if (!(cause instanceof FormatError)) throw cause;
          onDamaged(`${pathOf(id)} cannot be used, and stays: ${cause.message}`);
        }
      }
      return found;
    },
    put: (record) => putDurably(files, pathOf(record.id), restoreFile.encode(record)),
    async remove(id) {
      await files.unlink(pathOf(id));
      await files.syncDirectory(directory);
    },
    [Symbol.asyncDispose]: () => hold[Symbol.asyncDispose](),
  };
}
