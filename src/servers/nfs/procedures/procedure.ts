import type { Procedure } from '../../../formats/wire/nfs3.ts';
import type { XdrReader } from '../../../formats/wire/xdr.ts';
import type { Peer } from '../../../sys/net/network.ts';
import type { Traffic } from '../../connection/traffic.ts';
import type { Identity } from '../exports/access.ts';
import type { Exports } from '../exports/exports.ts';
import type { RecordState } from '../rpc/records.ts';
import type { Reply } from '../rpc/reply.ts';
import type { Served } from '../exports/export-entry.ts';

export interface NfsServer {
  readonly exports: Exports;
}

export interface Caller {
  readonly peer: Peer;
  readonly identity: Identity;
  /** Counts the bytes that the call has read or written. */
  readonly count: (served: Served, moved: Partial<Traffic>) => void;
  /** As `RecordState.keep`. */
  readonly keep: RecordState['keep'];
  /** Whether no other client waits: then this call may wait for a fast disk. */
  readonly isLast: boolean;
}

/** Parses its arguments before it returns, and answers at once or later. */
export type Handler = (args: XdrReader, caller: Caller, reply: Reply) => void;

export type NfsHandlers = Partial<Record<Procedure, Handler>>;

/** One RPC program: its number, one version, and its procedures. */
export interface Program {
  readonly number: number;
  readonly version: number;
  /** Undefined: there is no such procedure. */
  readonly procedure: (number: number) => Handler | undefined;
  /** Turns an error of a handler into a reply; rethrows faults of our own. */
  readonly fail: (procedure: number, reply: Reply, cause: unknown) => void;
  /** Whether the procedure may be carried out only once, even if a client repeats the call. */
  readonly happensOnce: (procedure: number) => boolean;
}
