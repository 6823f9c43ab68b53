import { FOREIGN_HEAD_LENGTH, foreignName } from '../../formats/image/foreign-magic.ts';
import { decodeVhdFooter, VHD_FOOTER_LENGTH } from '../../formats/image/vhd.ts';
import type { File } from '../../sys/files/file-system.ts';
import { IngestError } from './ingest-error.ts';

/** Formats of disk images, by the names that qemu gives them. */
export const IMAGE_FORMATS = ['raw', 'qcow2', 'vmdk', 'vdi', 'vpc', 'vhdx'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** Common names of formats. */
const ALIASES: Readonly<Record<string, ImageFormat>> = { vhd: 'vpc', img: 'raw' };

export function parseImageFormat(name: string): ImageFormat {
  const found = IMAGE_FORMATS.find((format) => format === name) ?? ALIASES[name];
  if (found) return found;
  const names = [...IMAGE_FORMATS, 'vhd'].join(', ');
  throw new IngestError('UNSUPPORTED', `"${name}" is not one of the image formats ${names}`);
}

/** The common name of a format. */
export function formatName(format: ImageFormat): string {
  return format === 'vpc' ? 'vhd' : format;
}

const ENDINGS: Readonly<Record<string, ImageFormat>> = {
  '.qcow2': 'qcow2',
  '.vmdk': 'vmdk',
  '.vdi': 'vdi',
  '.vhd': 'vpc',
  '.avhd': 'vpc',
  '.vhdx': 'vhdx',
  '.avhdx': 'vhdx',
  '.raw': 'raw',
};

/** The format that a file's name implies; undefined: none. VMware's `-flat.vmdk` are raw disks. */
export function formatOfName(path: string): ImageFormat | undefined {
  const name = path.toLowerCase();
  if (name.endsWith('-flat.vmdk')) return 'raw';
  return ENDINGS[/\.[^./]*$/.exec(name)?.[0] ?? ''];
}

const MAGICS: readonly (readonly [ImageFormat, number, string])[] = [
  ['qcow2', 0, 'QFI\xfb'],
  ['vmdk', 0, 'KDMV'],
  ['vmdk', 0, '# Disk DescriptorFile'],
  ['vhdx', 0, 'vhdxfile'],
  ['vpc', 0, 'conectix'],
  ['vdi', 64, '\x7f\x10\xda\xbe'],
];

/**
 * Detects the format of an image. A guest can write anything to a raw disk, even the beginning of another format: so
 * an image that names other files is refused later unless its format was given, and an image of an unsupported format
 * is refused here. Rejects UNSUPPORTED, REFUSED, BAD_IMAGE.
 */
export async function detectFormat(
  file: File,
  kind: 'file' | 'block-device',
): Promise<ImageFormat> {
  const { path } = file;
  const head = await readPart(file, 0, FOREIGN_HEAD_LENGTH);
  const text = Buffer.from(head).toString('latin1');
  const found = MAGICS.find(([, at, magic]) => text.startsWith(magic, at))?.[0];
  if (found !== undefined && kind === 'file') return found;
  if (found !== undefined) {
    throw new IngestError(
      'REFUSED',
      `${path} is a device that begins like a ${formatName(found)} image: give --format ${formatName(found)} if it ` +
        'holds one, or --format raw',
    );
  }
  const foreign = foreignName(head);
  if (foreign !== undefined) {
    throw new IngestError(
      'UNSUPPORTED',
      `${path} is ${foreign}, which Holdfast does not read: convert it to a disk image first, or give --format raw ` +
        'if it is a raw disk all the same',
    );
  }
  if (kind === 'block-device') return 'raw';
  const promised = formatOfName(path);
  // A fixed VHD is a raw disk with a footer.
  if (decodeVhdFooter(await readEnd(file))?.isChecksumRight === true) {
    if (promised === 'vpc') return 'vpc';
    throw new IngestError(
      'REFUSED',
      `${path} ends like a fixed VHD: give --format vhd if it is one, or --format raw`,
    );
  }
  if (promised === undefined || promised === 'raw') return 'raw';
  throw new IngestError(
    'BAD_IMAGE',
    `${path} is named like a ${formatName(promised)} image and is not one: truncated, or an extent without its ` +
      'descriptor? Give --format raw if it is a raw disk',
  );
}

/** The last 512 bytes, or fewer if the file is shorter. */
export async function readEnd(file: File): Promise<Uint8Array> {
  return readPart(file, Math.max(0, (await file.size()) - VHD_FOOTER_LENGTH), VHD_FOOTER_LENGTH);
}

/** Reads a part, as far as the file reaches. */
export async function readPart(file: File, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, await file.read(bytes, offset));
}
