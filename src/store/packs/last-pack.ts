import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import {
  decodeLastPack,
  encodeLastPack,
  LAST_PACK_LENGTH_MAX,
} from '../../formats/store/packs/last-pack.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import type { LastPack } from './pack-store.ts';

/*
 * The number of the last pack to which recovery points may refer. Without it, if the index is lost too, the number of
 * a lost pack could be given again: references of older points would then find other data.
 */
const LAST_PACK = 'last-pack.json';

/** The caller also considers the packs themselves. */
export async function readLastPack(files: FileSystem, store: string): Promise<LastPack> {
  const where = join(store, LAST_PACK);
  if (!(await files.stat(where))) return { last: 0 };
  try {
    return { last: decodeLastPack(await files.readFile(where, LAST_PACK_LENGTH_MAX)) };
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return { last: 0, damage: { where, what: cause.message } };
  }
}

/** Durable once it resolves. Only for the one writer. */
export async function writeLastPack(files: FileSystem, store: string, last: number): Promise<void> {
  await putDurably(files, join(store, LAST_PACK), encodeLastPack(last));
}
