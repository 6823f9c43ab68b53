import {
  cutText,
  type Fields,
  decodeJsonRecord,
  encodeJsonRecord,
  hex,
  timeIn,
} from '../base/json-record.ts';
import { idIn, nameIn, requireDistinct } from '../base/names.ts';
import { DIGEST_LENGTH, keyedHash } from '../base/digest.ts';
import { FRAME_LENGTH_MAX } from '../packs/frame.ts';
import type { Reference } from '../packs/node.ts';
import type { Checks } from '../base/plain-record.ts';
import { type Consistency, CONSISTENCY_LEVELS, type PointFile, type Tracking } from './machine.ts';

// A recovery point: the disks that a machine had, and the roots of their manifests. Framing: json-record.md. What it
// knows of the machine besides (files, consistency, run, tracking): machine.md.

/** Where a recovery point came from: a backup of images, or a session that was kept. */
export type PointOrigin = 'backup' | 'session';

export interface PointRecord {
  readonly id: string;
  readonly set: string;
  readonly machine: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  /**
   * Its number among the machine's points, in the order in which they were published, regardless of the clock: above
   * all that were in the set. 0: from a release that did not count.
   */
  readonly sequence: number;
  /** The machine's newest point in the set when this one was published: head.md. Undefined: this is the first. */
  readonly previous: PointLink | undefined;
  /** The recovery point on which it is based. */
  readonly parent: string | undefined;
  readonly origin: PointOrigin;
  readonly disks: readonly PointDisk[];
  readonly stats: PointStats;
  /** The machine's description and so on. Absent: nothing is known of the machine. */
  readonly files?: readonly PointFile[] | undefined;
  /** Absent: not known. */
  readonly consistency?: Consistency | undefined;
  /** Points that one run made of several machines have the same. */
  readonly run?: string | undefined;
  readonly tracking?: Tracking | undefined;
  /**
   * The point stays until then, by trusted time: ISO 8601, UTC. Absent: its record has no lock, but its marks may
   * (marks.md).
   */
  readonly lockedUntil?: string | undefined;
}

/** Names a recovery point so that no other can take its place. */
export interface PointLink {
  readonly id: string;
  readonly sequence: number;
  /** The digest of its record as written. */
  readonly digest: Uint8Array;
}

export interface PointDisk {
  readonly name: string;
  readonly size: number;
  readonly sectorSize?: SectorSize;
  /** The manifest's root; undefined: the whole disk reads as zeros. */
  readonly reference: Reference | undefined;
  /** For people: the image or URI from which it was read. */
  readonly source: string;
}

/**
 * Size of a disk's sectors as a guest should see it; absent: 512, or not known. A release that ignores it serves
 * the disk with sectors of 512 bytes, and a guest does not find its partitions: nothing is misread or lost.
 */
export type SectorSize = 4096;

export const LARGE_SECTOR: SectorSize = 4096;

export interface PointStats {
  /** Bytes that were read from the sources. */
  readonly readBytes: number;
  /** Bytes that this recovery point added to the store. */
  readonly storedBytes: number;
}

const FORMAT = 'holdfast-point';
const VERSION = 1;
/** More disks than any hypervisor allows a machine. */
export const POINT_DISKS_MAX = 256;
/** A machine has a handful. */
const FILES_MAX = 64;
const U32_MAX = 2 ** 32 - 1;

/** Texts that are for people are cut off at what a reader would take of them. */
export function encodePoint(point: PointRecord, key: Uint8Array): Uint8Array {
  const disks = point.disks.map((disk) => rooted({ ...disk, source: cutText(disk.source) }));
  const files = point.files?.map(rooted);
  const consistency = point.consistency && {
    ...point.consistency,
    why: point.consistency.why && cutText(point.consistency.why),
  };
  const previous = point.previous && encodeLink(point.previous);
  const parts = { previous, disks, files, consistency };
  return encodeJsonRecord({ format: FORMAT, version: VERSION, ...point, ...parts }, key);
}

function rooted({ reference, ...named }: PointDisk | PointFile): object {
  return { ...named, root: reference ? { ...reference, digest: hex(reference.digest) } : null };
}

/** `bytes`: its whole record. */
export function linkTo({ id, sequence }: PointRecord, bytes: Uint8Array): PointLink {
  return { id, sequence, digest: Uint8Array.from(keyedHash(new Uint8Array(0), bytes)) };
}

export function encodeLink({ id, sequence, digest }: PointLink): object {
  return { id, sequence, digest: hex(digest) };
}

export function decodeLink(fields: Fields): PointLink {
  return {
    id: idIn(fields, 'id'),
    sequence: fields.integer('sequence', 0, Number.MAX_SAFE_INTEGER),
    digest: fields.bytes('digest', DIGEST_LENGTH),
  };
}

/**
 * Throws FormatError. Without a key it is not authenticated: sufficient for listings only. `checks`: the release of
 * 22 November wrote no `root` for a disk of zeros; where every record has a checksum, a disk without one is damaged.
 */
export function decodePoint(
  bytes: Uint8Array,
  key: Uint8Array | undefined,
  checks?: Checks,
): PointRecord {
  return decodeJsonRecord(bytes, key, (fields) => pointOf(fields, checks));
}

function pointOf(fields: Fields, checks: Checks | undefined): PointRecord {
  fields.expect(FORMAT, VERSION);
  const stats = fields.object('stats');
  return {
    id: idIn(fields, 'id'),
    set: nameIn(fields, 'set'),
    machine: nameIn(fields, 'machine'),
    created: fields.text('created'),
    sequence: fields.has('sequence') ? fields.integer('sequence', 0, Number.MAX_SAFE_INTEGER) : 0,
    previous: fields.has('previous') ? decodeLink(fields.object('previous')) : undefined,
    parent: fields.has('parent') ? idIn(fields, 'parent') : undefined,
    origin: fields.oneOf('origin', ['backup', 'session']),
    disks: requireDistinct(
      fields.list('disks', POINT_DISKS_MAX, (disk) => diskOf(disk, checks)),
      'disks',
    ),
    stats: {
      readBytes: stats.integer('readBytes', 0, Number.MAX_SAFE_INTEGER),
      storedBytes: stats.integer('storedBytes', 0, Number.MAX_SAFE_INTEGER),
    },
    ...machineOf(fields),
    ...(fields.has('lockedUntil') && { lockedUntil: timeIn(fields, 'lockedUntil') }),
  };
}

type OfMachine = Pick<PointRecord, 'files' | 'consistency' | 'run' | 'tracking'>;

/** Words that a later release has added mean nothing here; the disks stay readable. */
function machineOf(fields: Fields): OfMachine {
  const consistency = consistencyOf(fields);
  const tracking = trackingOf(fields);
  return {
    ...(fields.has('files') && {
      files: requireDistinct(fields.list('files', FILES_MAX, fileOf), 'files'),
    }),
    ...(consistency && { consistency }),
    ...(fields.has('run') && { run: fields.text('run') }),
    ...(tracking && { tracking }),
  };
}

function fileOf(fields: Fields): PointFile {
  fields.require('root');
  return {
    name: nameIn(fields, 'name'),
    kind: fields.text('kind'),
    size: fields.integer('size', 0, Number.MAX_SAFE_INTEGER),
    reference: fields.has('root') ? referenceOf(fields.object('root')) : undefined,
  };
}

function consistencyOf(record: Fields): Consistency | undefined {
  if (!record.has('consistency')) return undefined;
  const fields = record.object('consistency');
  const level = (name: string) => CONSISTENCY_LEVELS.find((it) => it === fields.text(name));
  const asked = level('asked');
  const got = level('got');
  if (!asked || !got) return undefined;
  return { asked, got, ...(fields.has('why') && { why: fields.text('why') }) };
}

function trackingOf(record: Fields): Tracking | undefined {
  if (!record.has('tracking')) return undefined;
  const fields = record.object('tracking');
  const kind = fields.text('kind');
  const of = {
    ...(fields.has('point') && { point: fields.text('point') }),
    ...(fields.has('since') && { since: fields.text('since') }),
  };
  if (kind === 'libvirt') return { kind, checkpoint: fields.text('checkpoint'), ...of };
  if (kind === 'qemu') return { kind, bitmap: fields.text('bitmap'), ...of };
  return undefined;
}

function diskOf(fields: Fields, checks: Checks | undefined): PointDisk {
  if (checks === 'checked') fields.require('root');
  return {
    name: nameIn(fields, 'name'),
    size: fields.integer('size', 1, Number.MAX_SAFE_INTEGER),
    ...sectorsOf(fields),
    source: fields.text('source'),
    reference: fields.has('root') ? referenceOf(fields.object('root')) : undefined,
  };
}

/** A field of a disk in points and sessions. */
export function sectorsOf(fields: Fields): { readonly sectorSize?: SectorSize } {
  if (!fields.has('sectorSize')) return {};
  fields.integer('sectorSize', LARGE_SECTOR, LARGE_SECTOR);
  return { sectorSize: LARGE_SECTOR };
}

function referenceOf(fields: Fields): Reference {
  return {
    pack: fields.integer('pack', 0, U32_MAX),
    offset: fields.integer('offset', 0, U32_MAX),
    // A reader allocates this much memory: in a set that is not encrypted the value may be forged.
    length: fields.integer('length', 1, FRAME_LENGTH_MAX),
    digest: fields.bytes('digest', DIGEST_LENGTH),
  };
}
