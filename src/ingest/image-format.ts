import type { FileSystem } from '../sys/file-system.ts';
import { IngestError } from './ingest-error.ts';

/** Formats of disk images, by the names that qemu gives them. */
export const IMAGE_FORMATS = ['raw', 'qcow2', 'vmdk', 'vdi', 'vpc', 'vhdx'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** What people call them. */
const ALIASES: Readonly<Record<string, ImageFormat>> = { vhd: 'vpc', img: 'raw' };

export function parseImageFormat(name: string): ImageFormat {
  const found = IMAGE_FORMATS.find((format) => format === name) ?? ALIASES[name];
  if (found) return found;
  const names = [...IMAGE_FORMATS, 'vhd'].join(', ');
  throw new IngestError('UNSUPPORTED', `"${name}" is no image format of: ${names}`);
}

const HEAD_LENGTH = 512;
const MAGICS: readonly (readonly [ImageFormat, number, string])[] = [
  ['qcow2', 0, 'QFI\xfb'],
  ['vmdk', 0, 'KDMV'],
  ['vmdk', 0, '# Disk DescriptorFile'],
  ['vhdx', 0, 'vhdxfile'],
  ['vpc', 0, 'conectix'],
  ['vdi', 64, '\x7f\x10\xda\xbe'],
];

/**
 * What an image looks like. A guest writes what it likes to a raw disk, even the beginning of another
 * format: so an image that names other files is refused later unless its format was given.
 */
export async function detectFormat(files: FileSystem, path: string): Promise<ImageFormat> {
  await using file = await files.open(path, 'read');
  const head = Buffer.alloc(HEAD_LENGTH);
  const length = await file.read(head, 0);
  const text = head.subarray(0, length).toString('latin1');
  const found = MAGICS.find(([, at, magic]) => text.startsWith(magic, at));
  if (found) return found[0];
  // A fixed VHD is a raw disk with a footer.
  const size = await file.size();
  if (path.endsWith('.vhd') && size > HEAD_LENGTH) {
    await file.read(head, size - HEAD_LENGTH);
    if (head.toString('latin1').startsWith('conectix')) return 'vpc';
  }
  return 'raw';
}
