import { NAME_LENGTH_MAX, PROPERTIES, writeAfter } from '../../../formats/wire/nfs3.ts';
import { attributesOf } from '../exports/exports.ts';
import { AFTER_LENGTH, DIRECTORY_LENGTH_MAX, TRANSFER_LENGTH_MAX } from './nfs-limits.ts';
import { nfsOk } from '../rpc/reply.ts';
import type { XdrWriter } from '../../../formats/wire/xdr.ts';
import type { NfsHandlers, NfsServer } from './procedure.ts';
import type { Found } from '../exports/export-entry.ts';

const TRANSFER_MULTIPLE = 4096;
const FILE_SIZE_MAX = Number.MAX_SAFE_INTEGER;
const FILES = 100_000;
const LINKS_MAX = 1000;

/** Procedures about the file system as a whole: FSSTAT, FSINFO, PATHCONF. */
export function fileSystemProcedures({ exports }: NfsServer): NfsHandlers {
  function after(writer: XdrWriter, found: Found): void {
    writeAfter(writer, attributesOf(found, exports.node(found)));
  }
  return {
    fsstat(args, { peer }, reply) {
      const found = exports.read(args, peer);
      reply.later(0, async () => {
        const space = await (found.served?.tree.space() ?? { totalBytes: 0, freeBytes: 0 });
        const writer = nfsOk(reply, AFTER_LENGTH + 52);
        after(writer, found);
        writer.u64(space.totalBytes);
        writer.u64(space.freeBytes);
        writer.u64(space.freeBytes);
        for (let n = 0; n < 3; n++) writer.u64(FILES);
        // Seconds for which these numbers stay valid: none.
        writer.u32(0);
        reply.end();
      });
    },
    fsinfo(args, { peer }, reply) {
      const found = exports.read(args, peer);
      const writer = nfsOk(reply, AFTER_LENGTH + 48);
      after(writer, found);
      for (let n = 0; n < 2; n++) {
        writer.u32(TRANSFER_LENGTH_MAX);
        writer.u32(TRANSFER_LENGTH_MAX);
        writer.u32(TRANSFER_MULTIPLE);
      }
      writer.u32(DIRECTORY_LENGTH_MAX);
      writer.u64(FILE_SIZE_MAX);
      // Times are exact to a millisecond.
      writer.u32(0);
      writer.u32(1_000_000);
      const { link, symlink, homogeneous, canSetTime } = PROPERTIES;
      writer.u32(link | symlink | homogeneous | canSetTime);
      reply.end();
    },
    pathconf(args, { peer }, reply) {
      const found = exports.read(args, peer);
      const writer = nfsOk(reply, AFTER_LENGTH + 24);
      after(writer, found);
      writer.u32(LINKS_MAX);
      writer.u32(NAME_LENGTH_MAX);
      // Long names are refused, not cut; only root may change owners; case is preserved and significant.
      for (const flag of [true, true, false, true]) writer.flag(flag);
      reply.end();
    },
  };
}
