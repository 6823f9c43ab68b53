import { latin1, viewOf } from '../../lib/bytes.ts';

/* Microsoft's VHDX. image.md */

export const VHDX_REGION_TABLE = 192 * 1024;
export const VHDX_TABLE_LENGTH = 64 * 1024;

export interface VhdxMetadata {
  readonly hasParent: boolean;
  /** The disk's size in bytes. */
  readonly size: number;
  readonly sectorLength: number;
}

/** GUIDs in the byte order of the file. */
const METADATA_REGION = '06a27c8b90479a4bb8fe575f050f886e';
const FILE_PARAMETERS = '3767a1ca36fa434db3b633f0aa44e76b';
const DISK_SIZE = '2442a52f1bcd7648b2115dbed83bf4b8';
const SECTOR_LENGTH = '1dbf41816fa90947ba47f233a8faab5f';
const ENTRIES_MAX = 2047;
const ENTRY_LENGTH = 32;
const HAS_PARENT = 2;

/** Offset of the metadata in the file, by its region table. */
export function vhdxMetadataOffset(table: Uint8Array): number | undefined {
  if (table.length < VHDX_TABLE_LENGTH || latin1(table, 0, 4) !== 'regi') return undefined;
  const view = viewOf(table);
  const entry = findEntry(table, { first: 16, count: view.getUint32(8, true) }, METADATA_REGION);
  if (entry === undefined) return undefined;
  const offset = Number(view.getBigUint64(entry + 16, true));
  return Number.isSafeInteger(offset) ? offset : undefined;
}

/** `bytes`: the metadata region, at least its table and its items. */
export function decodeVhdxMetadata(bytes: Uint8Array): VhdxMetadata | undefined {
  if (bytes.length < VHDX_TABLE_LENGTH || latin1(bytes, 0, 8) !== 'metadata') return undefined;
  const view = viewOf(bytes);
  const entries = { first: ENTRY_LENGTH, count: view.getUint16(10, true) };
  function item(guid: string, length: number): number | undefined {
    const entry = findEntry(bytes, entries, guid);
    const at = entry === undefined ? bytes.length : view.getUint32(entry + 16, true);
    return at + length <= bytes.length ? at : undefined;
  }
  const parameters = item(FILE_PARAMETERS, 8);
  const size = item(DISK_SIZE, 8);
  const sectorLength = item(SECTOR_LENGTH, 4);
  if (parameters === undefined || size === undefined || sectorLength === undefined) {
    return undefined;
  }
  return {
    hasParent: (view.getUint32(parameters + 4, true) & HAS_PARENT) !== 0,
    size: Number(view.getBigUint64(size, true)),
    sectorLength: view.getUint32(sectorLength, true),
  };
}

function findEntry(
  bytes: Uint8Array,
  { first, count }: { readonly first: number; readonly count: number },
  guid: string,
): number | undefined {
  for (let index = 0; index < Math.min(count, ENTRIES_MAX); index++) {
    const at = first + index * ENTRY_LENGTH;
    if (at + ENTRY_LENGTH > bytes.length) return undefined;
    if (Buffer.from(bytes.subarray(at, at + 16)).toString('hex') === guid) return at;
  }
  return undefined;
}
