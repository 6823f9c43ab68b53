import { STATUS, VERIFIER_LENGTH, writeAfter } from '../../../formats/wire/nfs3.ts';
import type { XdrReader, XdrWriter } from '../../../formats/wire/xdr.ts';
import { attributesOf } from '../exports/exports.ts';
import { NfsFailure } from '../rpc/failure.ts';
import { AFTER_LENGTH, DIRECTORY_LENGTH_MAX, HANDLE_LENGTH } from './nfs-limits.ts';
import { nfsOk, type Reply } from '../rpc/reply.ts';
import type { Caller, NfsHandlers, NfsServer } from './procedure.ts';
import type { Entry, Found } from '../exports/export-entry.ts';

/** Cookies belong to the entries and never change, so there is nothing to verify (RFC 1813, 3.3.16). */
const COOKIE_VERIFIER = new Uint8Array(VERIFIER_LENGTH);

/** READDIR lists names; READDIRPLUS also lists attributes and handles. */
type Style = 'names' | 'plus';

export function directoryProcedures({ exports }: NfsServer): NfsHandlers {
  function after(writer: XdrWriter, found: Found): void {
    writeAfter(writer, attributesOf(found, exports.node(found)));
  }
  function writeEntry(writer: XdrWriter, { name, cookie, found }: Entry, style: Style): void {
    writer.flag(true);
    writer.u32(found.served?.tag ?? 0);
    writer.u32(found.id);
    writer.text(name);
    writer.u64(cookie);
    if (style === 'names') return;
    after(writer, found);
    writer.flag(true);
    exports.write(writer, found);
  }
  function list(style: Style) {
    return (args: XdrReader, { peer }: Caller, reply: Reply): void => {
      const found = exports.read(args, peer);
      const cookie = args.u64();
      args.fixed(VERIFIER_LENGTH);
      // `count` of READDIR; `dircount` (for names only) and `maxcount` of READDIRPLUS.
      const first = args.u32();
      const most = Math.min(style === 'plus' ? args.u32() : first, DIRECTORY_LENGTH_MAX);
      if (exports.node(found).kind !== 'directory') {
        throw new NfsFailure(STATUS.notDirectory, 'this is not a directory');
      }
      const entries = pageOf(exports.list(found, cookie, peer), most, style);
      if (!entries) throw new NfsFailure(STATUS.tooSmall, `not one entry fits ${most} bytes`);
      const writer = nfsOk(reply, most + AFTER_LENGTH + VERIFIER_LENGTH + 16);
      after(writer, found);
      writer.fixed(COOKIE_VERIFIER);
      for (const entry of entries.page) writeEntry(writer, entry, style);
      // Also in an empty directory: without this word clients give up.
      writer.flag(false);
      writer.flag(entries.isEnd);
      reply.end();
    };
  }
  return { readdir: list('names'), readdirplus: list('plus') };
}

/** The entries that fit, and whether the last one is among them; undefined: not even one fits. */
function pageOf(
  entries: Iterable<Entry>,
  most: number,
  style: Style,
): { readonly page: readonly Entry[]; readonly isEnd: boolean } | undefined {
  const page: Entry[] = [];
  let length = AFTER_LENGTH + VERIFIER_LENGTH + 12;
  for (const entry of entries) {
    const name = (Buffer.byteLength(entry.name) + 3) & ~3;
    length += 24 + name + (style === 'plus' ? AFTER_LENGTH + 4 + HANDLE_LENGTH : 0);
    if (length > most) return page.length > 0 ? { page, isEnd: false } : undefined;
    page.push(entry);
  }
  return { page, isEnd: true };
}
