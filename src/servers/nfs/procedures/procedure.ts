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
  /** What its call has read or written. */
  readonly count: (served: Served, moved: Partial<Traffic>) => void;
  /** As `RecordState.keep`. */
  readonly keep: RecordState['keep'];
  /** No other client waits: this call may wait for a quick medium. */
  readonly isLast: boolean;
}

/** Parses its arguments before it returns, and answers then or later. */
export type Handler = (args: XdrReader, caller: Caller, reply: Reply) => void;

export type NfsHandlers = Partial<Record<Procedure, Handler>>;

/** One RPC program: a number, one version, and what its procedures do. */
export interface Program {
  readonly number: number;
  readonly version: number;
  /** Undefined: there is no such procedure. */
  readonly procedure: (number: number) => Handler | undefined;
  /** Turns what a handler threw into a reply; rethrows our own faults. */
  readonly fail: (procedure: number, reply: Reply, cause: unknown) => void;
  /** Whether the procedure must not happen twice. */
  readonly happensOnce: (procedure: number) => boolean;
}
