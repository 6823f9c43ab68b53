import { FormatError } from '../../format-error.ts';
import { decodeSummed, encodeSummed, type Fields } from '../base/json-record.ts';
import { idIn, requireDistinct } from '../base/names.ts';
import { type SectorSize, sectorsOf } from '../catalog/point.ts';
import { decodePlacement, encodePlacement, type Placement } from './placement.ts';

// A recovery session's journal: what it is, and its phase. Grammar: session.md.

export interface SessionRecord {
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly set: string;
  readonly point: string;
  readonly machine: string;
  readonly disks: readonly SessionDisk[];
  /** The address at which its disks are exported: `unix:PATH`, `tcp:HOST:PORT`. */
  readonly listen: string;
  /** Whether clients must use TLS. */
  readonly tls: boolean;
  /** Undefined: not over NFS. */
  readonly nfs: NfsPlace | undefined;
  readonly whenFull: WhenFull;
  readonly phase: SessionPhase;
  /** While it is being kept: the ID of the future recovery point. */
  readonly keepAs: string | undefined;
  /** Undefined: overlays of version 1, in plain text (overlay-map.md). */
  readonly sealed: SealedOverlays | undefined;
  /** Undefined: people attach its disks to a machine themselves. */
  readonly placement: Placement | undefined;
  /**
   * The hypervisor on which a machine is to run from it, from its first record until there is a placement: nothing of
   * it is there, and the next start of the service removes the session.
   */
  readonly runsOn?: string | undefined;
}

/** State of the sealed logs of its disks (overlay-log.md). */
export interface SealedOverlays {
  /** Names of disks whose log has had a segment: from then on a log without any is damaged. */
  readonly begun: readonly string[];
  /** Whether an overlay of version 1 lies below each, which is now only read. */
  readonly overPlain: boolean;
}

/** The address at which a session's directory is exported, and the clients that may use it. */
export interface NfsPlace {
  /** Address to listen on. */
  readonly host: string;
  readonly ports: { readonly nfs: number; readonly mount: number; readonly portmap: number };
  /** Addresses and networks. */
  readonly allow: readonly string[];
  readonly readOnly: boolean;
  readonly squash: Squash;
  readonly privilegedPorts: boolean;
  /** Whether the recovery points of the set are shown too. */
  readonly points: boolean;
}

/** Which users' calls are mapped to user 65534. */
export type Squash = 'none' | 'root' | 'all';

export interface SessionDisk {
  readonly name: string;
  readonly size: number;
  readonly sectorSize?: SectorSize;
}

/** What a guest sees when no space is left for its writes. */
export type WhenFull = 'pause' | 'refuse';

const OWN_PHASES = ['preparing', 'ready', 'keeping', 'cleaning'] as const;
/** See sessions/state/session-state.ts. */
export type OwnPhase = (typeof OWN_PHASES)[number];

const PLACED_PHASES = [
  'preparing',
  'placing',
  'running',
  'copying',
  'pivoting',
  'settling',
  'leaving',
  'withdrawing',
  'keeping',
  'cleaning',
] as const;
/** See sessions/placed/placed-state.ts. */
export type PlacedPhase = (typeof PLACED_PHASES)[number];

export type SessionPhase = OwnPhase | PlacedPhase;

const FORMAT = 'holdfast-session';
/** Version 2: with a placement. */
const VERSION_MAX = 2;
const DISKS_MAX = 256;
const NETWORKS_MAX = 256;
const PORT_MAX = 65_535;

export function encodeSession(session: SessionRecord): Uint8Array {
  const { nfs, placement, ...rest } = session;
  const allow = nfs?.allow.map((network) => ({ network }));
  const record = { ...rest, nfs: nfs && { ...nfs, allow } };
  if (!placement) return encodeSummed({ format: FORMAT, version: 1, ...record });
  const placed = { ...record, placement: encodePlacement(placement) };
  return encodeSummed({ format: FORMAT, version: VERSION_MAX, ...placed });
}

export function decodeSession(bytes: Uint8Array): SessionRecord {
  return decodeSummed(bytes, sessionOf);
}

function sessionOf(fields: Fields): SessionRecord {
  if (!fields.has('format') || fields.text('format') !== FORMAT) {
    throw new FormatError('BAD_MAGIC', `record: no ${FORMAT}`);
  }
  const version = fields.integer('version', 1, Number.MAX_SAFE_INTEGER);
  if (version > VERSION_MAX) {
    const what = `${FORMAT} of version ${version}, this release reads 1 to ${VERSION_MAX}`;
    throw new FormatError('UNSUPPORTED', what);
  }
  // Version 1 may lack its checksum, version 2 never does.
  if (version > 1 && !fields.has('sum')) {
    throw new FormatError('CORRUPT', `${FORMAT} of version ${version}: its checksum is missing`);
  }
  const isPlaced = version > 1;
  return {
    id: idIn(fields, 'id'),
    created: fields.text('created'),
    set: idIn(fields, 'set'),
    point: idIn(fields, 'point'),
    machine: idIn(fields, 'machine'),
    disks: requireDistinct(fields.list('disks', DISKS_MAX, diskOf), 'disks'),
    listen: fields.text('listen'),
    tls: fields.has('tls') && fields.flag('tls'),
    nfs: fields.has('nfs') ? decodePlace(fields.object('nfs')) : undefined,
    whenFull: fields.oneOf('whenFull', ['pause', 'refuse']),
    phase: fields.oneOf<SessionPhase>('phase', [...OWN_PHASES, ...(isPlaced ? PLACED_PHASES : [])]),
    keepAs: fields.has('keepAs') ? idIn(fields, 'keepAs') : undefined,
    sealed: fields.has('sealed') ? decodeSealed(fields.object('sealed')) : undefined,
    placement: isPlaced ? decodePlacement(fields.object('placement'), DISKS_MAX) : undefined,
    ...(fields.has('runsOn') && { runsOn: fields.text('runsOn') }),
  };
}

function diskOf(fields: Fields): SessionDisk {
  return {
    name: idIn(fields, 'name'),
    size: fields.integer('size', 1, Number.MAX_SAFE_INTEGER),
    ...sectorsOf(fields),
  };
}

function decodeSealed(fields: Fields): SealedOverlays {
  return {
    begun: fields.texts('begun', DISKS_MAX),
    overPlain: fields.flag('overPlain'),
  };
}

function decodePlace(fields: Fields): NfsPlace {
  const ports = fields.object('ports');
  return {
    host: fields.text('host'),
    ports: {
      nfs: ports.integer('nfs', 0, PORT_MAX),
      mount: ports.integer('mount', 0, PORT_MAX),
      portmap: ports.integer('portmap', 0, PORT_MAX),
    },
    allow: fields.list('allow', NETWORKS_MAX, (it) => it.text('network')),
    readOnly: fields.flag('readOnly'),
    squash: fields.oneOf('squash', ['none', 'root', 'all']),
    privilegedPorts: fields.flag('privilegedPorts'),
    points: fields.flag('points'),
  };
}
