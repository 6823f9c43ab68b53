import { dirname, join } from 'node:path/posix';
import { MiB } from '../../lib/sizes.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { copiesDirectory, copiesOwner, mayCopy } from './copies-owner.ts';
import { listPacks, packPath } from './pack-path.ts';
import { PACK_SPAN } from './trust.ts';

/*
 * Whole disks hang on the few packs of nodes, one or two thousandths of a store: each has a second copy, in
 * `copies/packs`. Another disk may be mounted at `copies`. A store works without them: `store repair` makes those that
 * are missing.
 */
export interface NodeCopies {
  /** The place of a pack's copy, for people. */
  path(pack: number): string;
  /** Numbers of packs that have one, ascending. */
  list(): Promise<number[]>;
  /** Undefined: there is none, or it cannot be read. */
  bytes(pack: number): Promise<Uint8Array | undefined>;
  /** Durable once it resolves. Does nothing where the copies are those of another store. */
  write(pack: number, bytes: Uint8Array): Promise<void>;
  /** Removes the copy of a pack that a sweep has removed. */
  remove(pack: number): Promise<void>;
  /** The same for those that there are. Never rejects for the medium: `store repair` removes what is left. */
  drop(packs: readonly number[]): Promise<void>;
  /** Copies a pack that was just sealed. Never rejects for the medium: then there is no copy. */
  copy(pack: number): Promise<void>;
}

const PIECE_LENGTH = MiB;

/** `store`: its directory; `id`: its ID, which the copies must have. */
export function nodeCopies(files: FileSystem, store: string, id: string): NodeCopies {
  const from = join(store, 'packs');
  const to = join(copiesDirectory(store), 'packs');
  const path = (pack: number): string => packPath(to, pack);

  async function stream(pack: number): Promise<void> {
    await files.makeDirectory(dirname(path(pack)));
    const temporary = `${path(pack)}.tmp`;
    if (await files.stat(temporary)) await files.unlink(temporary);
    {
      await using source = await files.open(packPath(from, pack), 'read');
      await using target = await files.create(temporary);
      const piece = new Uint8Array(PIECE_LENGTH);
      for (let at = 0, got = piece.length; got === piece.length; at += got) {
        got = await source.read(piece, at);
        if (got > 0) await target.write(piece.subarray(0, got), at);
      }
      await target.sync();
    }
    await files.rename(temporary, path(pack));
    await files.syncDirectory(dirname(path(pack)));
  }
  return {
    path,
    list: async () => ((await files.stat(to)) ? listPacks(files, to, 'pack') : []),
    async bytes(pack) {
      try {
        if (!(await files.stat(path(pack)))) return undefined;
        return await files.readFile(path(pack), PACK_SPAN);
      } catch (cause) {
        if (!(cause instanceof SystemError)) throw cause;
        return undefined;
      }
    },
    async write(pack, bytes) {
      if (!(await mayCopy(files, store, id))) return;
      await files.makeDirectory(dirname(path(pack)));
      await putDurably(files, path(pack), bytes);
    },
    remove: (pack) => files.unlink(path(pack)),
    async drop(packs) {
      try {
        if ((await copiesOwner(files, store, id)) !== 'this') return;
        for (const pack of packs) {
          if (await files.stat(path(pack))) await files.unlink(path(pack));
        }
      } catch (cause) {
        if (!(cause instanceof SystemError)) throw cause;
      }
    },
    async copy(pack) {
      try {
        if (await mayCopy(files, store, id)) await stream(pack);
      } catch (cause) {
        if (!(cause instanceof SystemError)) throw cause;
      }
    },
  };
}
