/* How files begin that are not disks, although each of their sectors can be read. image.md */

interface Magic {
  readonly at: number;
  /** Latin-1. */
  readonly text: string;
  readonly name: string;
}

/** How much of a file `foreignName` looks at. */
export const FOREIGN_HEAD_LENGTH = 512;

const FOREIGN: readonly Magic[] = [
  { at: 0, text: 'QED\0', name: 'a QED image' },
  { at: 0, text: 'WithoutFreeSpace', name: 'a Parallels image' },
  { at: 0, text: 'WithouFreSpacExt', name: 'a Parallels image' },
  { at: 0, text: 'COWD', name: 'an extent of a VMware disk (COWD) without its descriptor' },
  {
    at: 0,
    text: '\xbe\xba\xfe\xca\0\0\0\0',
    name: 'an extent of a VMware disk (SEsparse) without its descriptor',
  },
  { at: 0, text: 'Bochs Virtual HD Image', name: 'a Bochs image' },
  { at: 0, text: 'VMA\0', name: 'a Proxmox VMA archive' },
  { at: 0, text: 'EVF\x09\x0d\x0a\xff\0', name: 'an EnCase image' },
  { at: 0, text: 'MSWIM\0\0\0', name: 'a Windows image archive (WIM)' },
  { at: 0, text: '\x3a\xff\x26\xed', name: 'an Android sparse image' },
  { at: 0, text: '\x1f\x8b\x08', name: 'compressed with gzip' },
  { at: 0, text: '\xfd7zXZ\0', name: 'compressed with xz' },
  { at: 0, text: '\x28\xb5\x2f\xfd', name: 'compressed with zstd' },
  { at: 0, text: '7z\xbc\xaf\x27\x1c', name: 'a 7z archive' },
  { at: 0, text: 'PK\x03\x04', name: 'a zip archive' },
  { at: 4, text: '1AY&SY', name: 'compressed with bzip2' },
];

/** The kind of a file that begins this way and that Holdfast does not read; undefined: not a known one. */
export function foreignName(head: Uint8Array): string | undefined {
  const text = Buffer.from(head).subarray(0, FOREIGN_HEAD_LENGTH).toString('latin1');
  return FOREIGN.find(({ at, text: magic }) => text.startsWith(magic, at))?.name;
}
