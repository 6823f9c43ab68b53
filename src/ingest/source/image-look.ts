import { dirname, join } from 'node:path/posix';
import { decodeQcow2Header, QCOW2_HEAD_LENGTH } from '../../formats/image/qcow2.ts';
import { decodeVdiHeader, VDI_HEADER_LENGTH } from '../../formats/image/vdi.ts';
import {
  decodeVhdDynamicHeader,
  decodeVhdFooter,
  VHD_DYNAMIC_HEADER_LENGTH,
  VHD_FOOTER_LENGTH,
  vhdBlocksEnd,
} from '../../formats/image/vhd.ts';
import {
  decodeVhdxMetadata,
  VHDX_REGION_TABLE,
  VHDX_TABLE_LENGTH,
  vhdxMetadataOffset,
} from '../../formats/image/vhdx.ts';
import {
  decodeVmdkDescriptor,
  decodeVmdkSparseHeader,
  VMDK_DESCRIPTOR_LENGTH_MAX,
  VMDK_HEADER_LENGTH,
  type VmdkExtent,
} from '../../formats/image/vmdk.ts';
import { printable } from '../../lib/printable.ts';
import type { File, FileSystem } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { detectFormat, formatName, type ImageFormat, readEnd, readPart } from './image-format.ts';
import { readAlone } from './image-users.ts';
import { IngestError } from './ingest-error.ts';

/*
 * Examines an image, and every file that it names, before any program opens them: whether it is valid, whether qemu
 * would silently ignore something, and whether each file can be opened at all. formats/image/image.md.
 */

export interface ImageLook {
  /** The disk's size in bytes; undefined: not found where it was looked for. */
  readonly size: number | undefined;
  /** Other files that it needs, as it names them. */
  readonly named: readonly NamedFile[];
  /** Reported only after it is known that the caller may read the files. */
  readonly complaint: string | undefined;
}

interface NamedFile {
  readonly name: string;
  readonly role: 'backing' | 'part';
  readonly format: ImageFormat | 'unknown';
  /** Its minimum length. */
  readonly lengthMin: number;
}

/** Longer chains than any hypervisor makes. */
const CHAIN_MAX = 64;
/** Files of one image, with all that it refers to. Each stays open; a split VMDK of 16 TB has this many. */
const FILES_MAX = 8192;
/** In bytes: PATH_MAX of Linux. */
const NAME_LENGTH_MAX = 4095;

type Look = (file: File) => Promise<ImageLook>;

const NOTHING: ImageLook = { size: undefined, named: [], complaint: undefined };

const LOOKS: Readonly<Record<ImageFormat, Look>> = {
  raw: async () => NOTHING,
  qcow2: lookAtQcow2,
  vmdk: lookAtVmdk,
  vdi: lookAtVdi,
  vpc: lookAtVhd,
  vhdx: lookAtVhdx,
};

/**
 * Keeps all of its files open, and held against writers, in `stack`. Rejects UNSUPPORTED, REFUSED, BAD_IMAGE, BUSY.
 */
export async function lookAtImage(
  files: FileSystem,
  path: string,
  { format, isSaid, stack }: LookOptions,
): Promise<ImageLook> {
  const file = stack.use(await files.open(path, 'read'));
  readAlone(file);
  const look = await lookAt(file, format);
  if (look.named.length > 0 && !isSaid) {
    const others = look.named.slice(0, NAMED_MAX).map(({ name }) => name);
    throw new IngestError(
      'REFUSED',
      `${path} looks like ${format} and refers to ${others.join(', ')}. A guest can make a raw disk look so: ` +
        `give --format ${formatName(format)} if it is that, or --format raw`,
    );
  }
  const chain: Chain = { files, stack, opened: 0 };
  const complaints = [look.complaint, ...(await lookAtNamed(chain, path, look.named, 1))];
  return { ...look, complaint: complaints.find((it) => it !== undefined) };
}

export interface LookOptions {
  readonly format: ImageFormat;
  readonly isSaid: boolean;
  readonly stack: AsyncDisposableStack;
}

/** The most names in a message. */
const NAMED_MAX = 3;

/** Rejects BAD_IMAGE for names that messages cannot repeat, besides all defects of the image itself. */
async function lookAt(file: File, format: ImageFormat): Promise<ImageLook> {
  const look = await LOOKS[format](file);
  const isName = ({ name }: NamedFile): boolean =>
    Buffer.byteLength(name) <= NAME_LENGTH_MAX && name === printable(name);
  if (look.named.every(isName)) return look;
  throw new IngestError(
    'BAD_IMAGE',
    `${file.path} refers to a file by what is not a name: it is too long, or has control characters`,
  );
}

interface Chain {
  readonly files: FileSystem;
  readonly stack: AsyncDisposableStack;
  opened: number;
}

async function lookAtNamed(
  chain: Chain,
  by: string,
  named: readonly NamedFile[],
  depth: number,
): Promise<(string | undefined)[]> {
  const { files, stack } = chain;
  chain.opened += named.length;
  if (depth > CHAIN_MAX || chain.opened > FILES_MAX) {
    throw new IngestError('BAD_IMAGE', `${by} refers to more files than any disk has`);
  }
  const complaints: (string | undefined)[] = [];
  for (const { name, role, format, lengthMin } of named) {
    const path = placeOf(by, name);
    // A protocol of qemu's: only opening it, with a time limit, can tell more.
    if (path === undefined) continue;
    const status = await files.stat(path);
    if (!status)
      throw new SystemError('NOT_FOUND', `${by} refers to ${path}, which does not exist`);
    if (status.kind !== 'file' && status.kind !== 'block-device') {
      throw new IngestError(
        'REFUSED',
        `${by} refers to ${path}, which is neither a file nor a block device`,
      );
    }
    const file = stack.use(await files.open(path, 'read'));
    readAlone(file);
    const size = await file.size();
    if (size < lengthMin) {
      complaints.push(`${path} is truncated: ${size} bytes, ${by} needs ${lengthMin}`);
    }
    if (role === 'part') continue;
    const kind = format === 'unknown' ? await detectFormat(file, 'file') : format;
    const below = await lookAt(file, kind);
    complaints.push(below.complaint);
    complaints.push(...(await lookAtNamed(chain, path, below.named, depth + 1)));
  }
  return complaints;
}

/** The place where qemu looks for it; undefined: not in a file system, or through a driver of qemu's. */
function placeOf(by: string, name: string): string | undefined {
  const plain = name.startsWith('file:') ? name.slice('file:'.length) : name;
  if (/^[^/]*:/.test(plain)) return undefined;
  return plain.startsWith('/') ? plain : join(dirname(by), plain);
}

async function lookAtQcow2(file: File): Promise<ImageLook> {
  const header = decodeQcow2Header(await readPart(file, 0, QCOW2_HEAD_LENGTH));
  if (!header) return NOTHING;
  const { path } = file;
  const { version, size, isEncrypted, backing, backingFormat, dataFile } = header;
  if (version === 1) unsupported(`${path} is a qcow image of version 1: convert it to qcow2 first`);
  if (version !== 2 && version !== 3) {
    throw new IngestError(
      'BAD_IMAGE',
      `${path} is damaged, or its qcow2 version, ${version}, is not known`,
    );
  }
  if (isEncrypted) {
    unsupported(
      `${path} is an encrypted qcow2 image, of which Holdfast has no key: back up the disk as its machine sees it`,
    );
  }
  const named: NamedFile[] = [];
  if (backing !== undefined) {
    const format = known(backingFormat);
    named.push({ name: backing, role: 'backing', format, lengthMin: 0 });
  }
  if (dataFile !== undefined) {
    named.push({ name: dataFile, role: 'part', format: 'raw', lengthMin: 0 });
  }
  return { size, named, complaint: undefined };
}

function known(format: string | undefined): NamedFile['format'] {
  return format !== undefined && format in LOOKS ? (format as ImageFormat) : 'unknown';
}

async function lookAtVhd(file: File): Promise<ImageLook> {
  const { path } = file;
  const length = await file.size();
  const atEnd = decodeVhdFooter(await readEnd(file));
  const footer = decodeVhdFooter(await readPart(file, 0, VHD_FOOTER_LENGTH)) ?? atEnd;
  if (!footer) {
    throw new IngestError('BAD_IMAGE', `${path} is not a VHD, or it is truncated: no footer`);
  }
  const { kind, size } = footer;
  if (kind === 'differencing') {
    unsupported(
      `${path} is a differencing VHD: it holds only what was changed over its parent, and is not read. Merge it ` +
        'into its parent first (Hyper-V: Merge-VHD), or back up the disk as its machine sees it',
    );
  }
  if (kind === 'unknown') unsupported(`${path} is a VHD of a type that Holdfast does not know`);
  if (kind === 'fixed' && length - VHD_FOOTER_LENGTH !== size) {
    const has = length - VHD_FOOTER_LENGTH;
    throw new IngestError(
      'BAD_IMAGE',
      `${path} is a fixed VHD of ${size} bytes by its footer, and holds ${has}: truncated, or changed by hand?`,
    );
  }
  if (kind === 'dynamic') await requireBlocks(file, footer.dynamicHeader, length);
  return { size, named: [], complaint: undefined };
}

/** The largest table there is: 2 TiB in blocks of 512 KiB. */
const VHD_ENTRIES_MAX = 4 * 1024 * 1024;
const TABLE_PART_LENGTH = 1024 * 1024;

async function requireBlocks(file: File, offset: number, length: number): Promise<void> {
  const { path } = file;
  const header =
    offset < length
      ? decodeVhdDynamicHeader(await readPart(file, offset, VHD_DYNAMIC_HEADER_LENGTH))
      : undefined;
  if (!header || header.entries > VHD_ENTRIES_MAX || header.table >= length) {
    throw new IngestError('BAD_IMAGE', `${path} is damaged or truncated: no header of its blocks`);
  }
  const end = header.table + 4 * header.entries;
  for (let at = header.table; at < end; at += TABLE_PART_LENGTH) {
    const part = await readPart(file, at, Math.min(TABLE_PART_LENGTH, end - at));
    const blocksEnd = vhdBlocksEnd(part, header.blockLength);
    if (blocksEnd <= length) continue;
    throw new IngestError(
      'BAD_IMAGE',
      `${path} is damaged or truncated: a block ends at ${blocksEnd}, the file at ${length}`,
    );
  }
}

async function lookAtVhdx(file: File): Promise<ImageLook> {
  const { path } = file;
  const offset = vhdxMetadataOffset(await readPart(file, VHDX_REGION_TABLE, VHDX_TABLE_LENGTH));
  if (offset === undefined) return NOTHING;
  // Its items follow its table.
  const metadata = decodeVhdxMetadata(await readPart(file, offset, 2 * VHDX_TABLE_LENGTH));
  if (!metadata) return NOTHING;
  if (metadata.hasParent) {
    unsupported(
      `${path} is a differencing VHDX: it holds only what was changed over its parent, and is not read. Merge it ` +
        'into its parent first (Hyper-V: Merge-VHD), or back up the disk as its machine sees it',
    );
  }
  if (metadata.sectorLength !== 512) {
    unsupported(
      `${path} is a VHDX with sectors of ${metadata.sectorLength} bytes, which Holdfast does not read: convert it ` +
        'to a raw image, which has no sector size of its own',
    );
  }
  return { size: metadata.size, named: [], complaint: undefined };
}

async function lookAtVdi(file: File): Promise<ImageLook> {
  const header = decodeVdiHeader(await readPart(file, 0, VDI_HEADER_LENGTH));
  if (header?.hasParent === true) {
    unsupported(
      `${file.path} is a differencing VDI: it holds only what was changed over its parent, and is not read. Clone ` +
        'the machine or the disk first (VBoxManage clonemedium)',
    );
  }
  return header ? { size: header.size, named: [], complaint: undefined } : NOTHING;
}

/** Kinds of extents that qemu reads; it silently skips all others. */
const EXTENTS = ['FLAT', 'SPARSE', 'VMFS', 'VMFSSPARSE', 'SESPARSE'];
const FLAT_EXTENTS = ['FLAT', 'VMFS'];
/** The most letters shown in a message. */
const KIND_SHOWN_MAX = 32;

async function lookAtVmdk(file: File): Promise<ImageLook> {
  const { path } = file;
  const sparse = decodeVmdkSparseHeader(await readPart(file, 0, VMDK_HEADER_LENGTH));
  const { offset, length } = sparse?.descriptor ?? {
    offset: 0,
    length: VMDK_DESCRIPTOR_LENGTH_MAX,
  };
  const size = await file.size();
  const text =
    length > 0 && offset < size
      ? await readPart(file, offset, Math.min(length, VMDK_DESCRIPTOR_LENGTH_MAX))
      : new Uint8Array(0);
  const descriptor = decodeVmdkDescriptor(text);
  if (!descriptor) return { ...NOTHING, size: sparse?.capacity };
  const { hasParent, parent, extents } = descriptor;
  if (hasParent && parent === undefined) {
    unsupported(`${path} is a VMware snapshot's disk and does not say over which: it is not read`);
  }
  const backing: NamedFile[] =
    hasParent && parent !== undefined
      ? [{ name: parent, role: 'backing', format: 'vmdk', lengthMin: 0 }]
      : [];
  // A single sparse file names itself.
  if (sparse) return { size: sparse.capacity, named: backing, complaint: undefined };
  const odd = extents.find(({ access, kind }) => access !== 'RW' || !EXTENTS.includes(kind));
  if (odd) {
    unsupported(
      `${path} has an extent of kind ${odd.access} ${odd.kind.slice(0, KIND_SHOWN_MAX)}, which Holdfast does not read`,
    );
  }
  const home = dirname(path);
  const parts = extents.map((extent) => partOf(extent));
  const foreign = parts.find(
    ({ name }) => dirname(join(home, name)) !== home && dirname(name) !== home,
  );
  if (foreign !== undefined) {
    throw new IngestError(
      'REFUSED',
      `${path} refers to ${foreign.name}, outside of its own directory`,
    );
  }
  return {
    size: extents.reduce((sum, extent) => sum + extent.length, 0),
    named: [...backing, ...parts],
    complaint: undefined,
  };
}

function partOf({ file, kind, offset, length }: VmdkExtent): NamedFile {
  return {
    name: file ?? '',
    role: 'part',
    format: 'unknown',
    lengthMin: FLAT_EXTENTS.includes(kind) ? offset + length : 0,
  };
}

function unsupported(message: string): never {
  throw new IngestError('UNSUPPORTED', message);
}
