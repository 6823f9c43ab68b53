import { crc32 } from 'node:zlib';
import { FormatError } from '../format-error.ts';
import type { XdrReader, XdrWriter } from './xdr.ts';

/*
 * ONC RPC version 2 (RFC 5531). A call over TCP is a record of fragments, each with a mark of four bytes:
 * 1 bit "last", 31 bits length (section 11).
 *
 *   call:  xid  0  rpcvers 2  prog  vers  proc  cred(flavor opaque<400>)  verf(flavor opaque<400>)  arguments
 *   reply: xid  1  0 accepted  verf(0 0)  status  [low high | results]
 *          xid  1  1 denied    0 RPC_MISMATCH low high | 1 AUTH_ERROR why
 */
export const RECORD_MARK_LENGTH = 4;
export const LAST_FRAGMENT = 0x8000_0000;

export const ACCEPTED = {
  success: 0,
  programUnavailable: 1,
  programMismatch: 2,
  procedureUnavailable: 3,
  garbageArguments: 4,
  systemError: 5,
} as const;

export const AUTH_ERRORS = { badCredentials: 1, tooWeak: 5 } as const;

/** A call's header. The object is reused: copy what is needed longer than this call. */
export interface Call {
  xid: number;
  program: number;
  version: number;
  procedure: number;
  /** The user by AUTH_SYS (RFC 5531 appendix A); 65534, without groups, for calls without it. */
  uid: number;
  gid: number;
  gids: readonly number[];
}

export type CallProblem = 'not-a-call' | 'rpc-version' | 'credentials' | undefined;

const CALL = 0;
const REPLY = 1;
const RPC_VERSION = 2;
const AUTH_NONE = 0;
const AUTH_SYS = 1;
const AUTH_LENGTH_MAX = 400;
const MACHINE_NAME_MAX = 255;
const GIDS_MAX = 16;
/** The traditional ID of the user "nobody". */
const NOBODY = 65_534;
const NO_GIDS: readonly number[] = [];

export function newCall(): Call {
  return { xid: 0, program: 0, version: 0, procedure: 0, uid: NOBODY, gid: NOBODY, gids: NO_GIDS };
}

/** Fills `call` and leaves the reader at the arguments. Throws FormatError if even the header does not fit. */
export function readCall(reader: XdrReader, call: Call): CallProblem {
  call.xid = reader.u32();
  if (reader.u32() !== CALL) return 'not-a-call';
  if (reader.u32() !== RPC_VERSION) return 'rpc-version';
  call.program = reader.u32();
  call.version = reader.u32();
  call.procedure = reader.u32();
  const flavor = reader.u32();
  const known = flavor === AUTH_SYS ? readAuthSys(reader, call) : readNobody(reader, call, flavor);
  reader.u32();
  reader.opaque(AUTH_LENGTH_MAX);
  return known ? undefined : 'credentials';
}

function readNobody(reader: XdrReader, call: Call, flavor: number): boolean {
  reader.opaque(AUTH_LENGTH_MAX);
  call.uid = NOBODY;
  call.gid = NOBODY;
  call.gids = NO_GIDS;
  return flavor === AUTH_NONE;
}

/** stamp, machine name, uid, gid, gids<16>. */
function readAuthSys(reader: XdrReader, call: Call): boolean {
  const length = reader.u32();
  const end = reader.at + ((length + 3) & ~3);
  reader.u32();
  reader.opaque(MACHINE_NAME_MAX);
  call.uid = reader.u32();
  call.gid = reader.u32();
  const count = reader.u32();
  if (length > AUTH_LENGTH_MAX || count > GIDS_MAX) return false;
  call.gids = count === 0 ? NO_GIDS : Array.from({ length: count }, () => reader.u32());
  if (reader.at !== end) throw new FormatError('CORRUPT', 'credentials of a wrong length');
  return true;
}

/** Header of an accepted reply; its results follow, if there are any. */
export const REPLY_HEADER_LENGTH = 24;

export function writeAccepted(writer: XdrWriter, xid: number, status: number): void {
  writer.u32(xid);
  writer.u32(REPLY);
  writer.u32(0);
  writer.u32(AUTH_NONE);
  writer.u32(0);
  writer.u32(status);
}

export function writeProgramMismatch(
  writer: XdrWriter,
  xid: number,
  versions: { readonly low: number; readonly high: number },
): void {
  writeAccepted(writer, xid, ACCEPTED.programMismatch);
  writer.u32(versions.low);
  writer.u32(versions.high);
}

export function writeRpcMismatch(writer: XdrWriter, xid: number): void {
  for (const word of [xid, REPLY, 1, 0, RPC_VERSION, RPC_VERSION]) writer.u32(word);
}

export function writeAuthError(writer: XdrWriter, xid: number, why: number): void {
  for (const word of [xid, REPLY, 1, 1, why]) writer.u32(word);
}

/** A record mark for a reply of one fragment. */
export function recordMark(length: number): number {
  return (LAST_FRAGMENT | length) >>> 0;
}

/** Programs and their versions, as registered. */
export const PROGRAMS = {
  portmap: { number: 100_000, version: 2 },
  nfs: { number: 100_003, version: 3 },
  mount: { number: 100_005, version: 3 },
  locks: { number: 100_021, version: 4 },
} as const;

/** Distinguishes a retransmitted call from another one of the same number. */
export function callChecksum(record: Uint8Array): number {
  return crc32(record);
}
