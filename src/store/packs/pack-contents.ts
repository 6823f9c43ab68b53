import { FormatError } from '../../formats/format-error.ts';
import {
  decodePackEntries,
  decodePackHeader,
  decodePackTrailer,
  PACK_ENTRY_LENGTH,
  PACK_HEADER_LENGTH,
  PACK_TRAILER_LENGTH,
  type PackHeader,
} from '../../formats/store/packs/pack.ts';
import type { File } from '../../sys/files/file-system.ts';
import type { PackContents, PackFooter, PackSummary } from './pack-store.ts';

/** The bytes of a pack, wherever they are. */
export type PackBytes = Pick<File, 'path' | 'size' | 'read'>;

/** Its two ends. Rejects FormatError if one is damaged. */
export async function readSummary(pack: PackBytes): Promise<PackSummary> {
  const { size, header, trailer } = await readEnds(pack);
  return { size, header, count: trailer.count, entriesCrc: trailer.entriesCrc };
}

async function readEnds(pack: PackBytes) {
  const size = await pack.size();
  const header = decodePackHeader(await bytesOf(pack, 0, PACK_HEADER_LENGTH));
  const end = await bytesOf(pack, Math.max(0, size - PACK_TRAILER_LENGTH), PACK_TRAILER_LENGTH);
  return { size, header, trailer: decodePackTrailer(end, size) };
}

/** Rejects FormatError if it is damaged. */
export async function readFooter(pack: PackBytes): Promise<PackFooter> {
  const { size, header, trailer } = await readEnds(pack);
  const length = trailer.count * PACK_ENTRY_LENGTH;
  const entries = decodePackEntries(await bytesOf(pack, trailer.footerOffset, length), trailer);
  return { size, header, entries, entriesCrc: trailer.entriesCrc };
}

/** The same for a damaged footer or header; `damage` describes the defect. */
export async function walkedContents(pack: PackBytes, damage: string): Promise<PackContents> {
  const { walkFrames } = await import('./frame-walk.ts');
  const { entries } = await walkFrames(pack, 'end');
  return { size: await pack.size(), header: await readHeader(pack), entries, damage };
}

async function readHeader(pack: PackBytes): Promise<PackHeader | undefined> {
  try {
    return decodePackHeader(await bytesOf(pack, 0, PACK_HEADER_LENGTH));
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return undefined;
  }
}

async function bytesOf(pack: PackBytes, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const got = await pack.read(bytes, offset);
  if (got < length) throw new FormatError('TRUNCATED', `${pack.path} ends after ${offset + got}`);
  return bytes;
}
