import { latin1, viewOf } from '../../lib/bytes.ts';

/* VMware's virtual disk. image.md */

/** QEMU does not read a longer descriptor (block/vmdk.c). */
export const VMDK_DESCRIPTOR_LENGTH_MAX = 1024 * 1024;
export const VMDK_HEADER_LENGTH = 512;

export interface VmdkSparseHeader {
  /** The disk's size in bytes. */
  readonly capacity: number;
  /** Offset and length in the file; a length of 0: there is no descriptor. */
  readonly descriptor: { readonly offset: number; readonly length: number };
}

export interface VmdkDescriptor {
  readonly hasParent: boolean;
  readonly parent: string | undefined;
  readonly extents: readonly VmdkExtent[];
}

export interface VmdkExtent {
  /** RW, RDONLY, NOACCESS. */
  readonly access: string;
  /** Length in bytes. */
  readonly length: number;
  /** FLAT, SPARSE, VMFS ... */
  readonly kind: string;
  readonly file: string | undefined;
  /** Offset in the file, in bytes. */
  readonly offset: number;
}

const SECTOR = 512;
const NO_PARENT = 'ffffffff';
/**
 * The prefix stays within its line: otherwise, in a file of empty lines, each line would be scanned from every other.
 */
const EXTENT =
  /^[ \t]*(RW|RDONLY|NOACCESS)\s+(\d{1,15})\s+(\w+)(?:\s+"([^"\n]*)"(?:\s+(\d{1,15}))?)?/gm;

export function decodeVmdkSparseHeader(bytes: Uint8Array): VmdkSparseHeader | undefined {
  if (bytes.length < VMDK_HEADER_LENGTH || latin1(bytes, 0, 4) !== 'KDMV') return undefined;
  const view = viewOf(bytes);
  const sectors = (at: number): number => Number(view.getBigUint64(at, true)) * SECTOR;
  return { capacity: sectors(12), descriptor: { offset: sectors(28), length: sectors(36) } };
}

/** `bytes` may continue after its end. */
export function decodeVmdkDescriptor(bytes: Uint8Array): VmdkDescriptor | undefined {
  const all = latin1(bytes, 0, bytes.length);
  if (!all.startsWith('# Disk DescriptorFile')) return undefined;
  const [text = ''] = Buffer.from(bytes).toString('utf8').split('\0', 1);
  const field = (name: string): string | undefined =>
    new RegExp(`^[ \\t]*${name}\\s*=\\s*"?([^"\\r\\n]*)"?`, 'm').exec(text)?.[1]?.trim();
  return {
    hasParent: (field('parentCID') ?? NO_PARENT).toLowerCase() !== NO_PARENT,
    parent: field('parentFileNameHint'),
    extents: [...text.matchAll(EXTENT)].map(([, access, length, kind, file, offset]) => ({
      access: access!,
      length: Number(length) * SECTOR,
      kind: kind!,
      file,
      offset: Number(offset ?? 0) * SECTOR,
    })),
  };
}
