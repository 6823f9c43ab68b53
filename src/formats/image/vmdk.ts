import { bytesView, latin1 } from './bytes.ts';

/* VMware's virtual disk. image.md */

/** QEMU reads no longer descriptor (block/vmdk.c). */
export const VMDK_DESCRIPTOR_LENGTH_MAX = 1024 * 1024;
export const VMDK_HEADER_LENGTH = 512;

export interface VmdkSparseHeader {
  /** Bytes of the disk. */
  readonly capacity: number;
  /** In the file; a length of 0: there is none. */
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
  /** Bytes. */
  readonly length: number;
  /** FLAT, SPARSE, VMFS ... */
  readonly kind: string;
  readonly file: string | undefined;
  /** In the file, bytes. */
  readonly offset: number;
}

const SECTOR = 512;
const NO_PARENT = 'ffffffff';
/** What is before it in its line only: in a file of empty lines each would else be looked through from each. */
const EXTENT =
  /^[ \t]*(RW|RDONLY|NOACCESS)\s+(\d{1,15})\s+(\w+)(?:\s+"([^"\n]*)"(?:\s+(\d{1,15}))?)?/gm;

export function decodeVmdkSparseHeader(bytes: Uint8Array): VmdkSparseHeader | undefined {
  if (bytes.length < VMDK_HEADER_LENGTH || latin1(bytes, 0, 4) !== 'KDMV') return undefined;
  const view = bytesView(bytes);
  const sectors = (at: number): number => Number(view.getBigUint64(at, true)) * SECTOR;
  return { capacity: sectors(12), descriptor: { offset: sectors(28), length: sectors(36) } };
}

/** `bytes` may go on after its end. */
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
