import { utf8 } from '../../lib/bytes.ts';
import { parseFields } from './json-record.ts';

// A recovery session's journal: what it is, and how far it has come. Grammar: session.md.

export interface SessionRecord {
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly set: string;
  readonly point: string;
  readonly machine: string;
  readonly disks: readonly SessionDisk[];
  /** Where its disks are exported: `unix:PATH`, `tcp:HOST:PORT`. */
  readonly listen: string;
  /** Whether clients are served through TLS only. */
  readonly tls: boolean;
  readonly whenFull: WhenFull;
  readonly phase: SessionPhase;
  /** While it is being kept: the ID of the recovery point to be. */
  readonly keepAs: string | undefined;
}

export interface SessionDisk {
  readonly name: string;
  readonly size: number;
}

/** What a guest sees when no space is left for its writes. */
export type WhenFull = 'pause' | 'refuse';

/** See recovery/session-state.ts. */
export type SessionPhase = 'preparing' | 'ready' | 'keeping' | 'cleaning';

const FORMAT = 'holdfast-session';
const VERSION = 1;
const DISKS_MAX = 256;

export function encodeSession(session: SessionRecord): Uint8Array {
  const record = { format: FORMAT, version: VERSION, ...session };
  return utf8(`${JSON.stringify(record, undefined, 2)}\n`);
}

export function decodeSession(bytes: Uint8Array): SessionRecord {
  const fields = parseFields(bytes);
  fields.expect(FORMAT, VERSION);
  return {
    id: fields.text('id'),
    created: fields.text('created'),
    set: fields.text('set'),
    point: fields.text('point'),
    machine: fields.text('machine'),
    disks: fields.list('disks', DISKS_MAX, (disk) => ({
      name: disk.text('name'),
      size: disk.integer('size', 1, Number.MAX_SAFE_INTEGER),
    })),
    listen: fields.text('listen'),
    tls: fields.has('tls') && fields.flag('tls'),
    whenFull: fields.oneOf('whenFull', ['pause', 'refuse']),
    phase: fields.oneOf('phase', ['preparing', 'ready', 'keeping', 'cleaning']),
    keepAs: fields.has('keepAs') ? fields.text('keepAs') : undefined,
  };
}
