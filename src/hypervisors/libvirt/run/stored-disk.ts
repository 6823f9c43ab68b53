import { element, first, type XmlElement } from '../../base/xml.ts';

/* A disk of a machine that is a volume of the host's. */

export interface StoredVolume {
  readonly path: string;
  /** A block device, which is raw; else a file, which is qcow2, in which changes can be counted. */
  readonly isBlock: boolean;
}

/** What belongs to where a disk was. */
export const OUTSIDE: readonly string[] = [
  'driver',
  'source',
  'backingStore',
  'mirror',
  'shareable',
  'transient',
  'auth',
  'encryption',
];

/** `before`: as the disk was; its bus, address, serial and the rest stay, and how it is cached. */
export function storedDisk(before: XmlElement, volume: StoredVolume): XmlElement {
  const kept = before.children.filter((it) => typeof it === 'string' || !OUTSIDE.includes(it.name));
  return volumeDisk(volume, { driver: first(before, 'driver')?.attributes ?? {}, children: kept });
}

/** A `<disk>` that is on it. */
export function volumeDisk(
  { path, isBlock }: StoredVolume,
  {
    driver,
    children,
  }: {
    readonly driver: Readonly<Record<string, string>>;
    readonly children: XmlElement['children'];
  },
): XmlElement {
  return element(
    'disk',
    { type: isBlock ? 'block' : 'file', device: 'disk' },
    element('driver', { ...driver, name: 'qemu', type: isBlock ? 'raw' : 'qcow2' }),
    element('source', isBlock ? { dev: path } : { file: path }),
    ...children,
  );
}
