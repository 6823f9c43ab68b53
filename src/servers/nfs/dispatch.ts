import { FormatError } from '../../formats/format-error.ts';
import {
  ACCEPTED,
  AUTH_ERRORS,
  type Call,
  type CallProblem,
  newCall,
  readCall,
  writeAccepted,
  writeAuthError,
  writeProgramMismatch,
  writeRpcMismatch,
} from '../../formats/wire/rpc.ts';
import { xdrReader } from '../../formats/wire/xdr.ts';
import type { Peer } from '../../sys/net/network.ts';
import { identified } from './exports/access.ts';
import { Unanswered } from './rpc/failure.ts';
import type { OpenReply } from './rpc/replies.ts';
import type { RecordState } from './rpc/records.ts';
import type { Traffic } from '../connection/traffic.ts';
import { type ReplayCache, replayKey } from './rpc/replay-cache.ts';
import type { Reply } from './rpc/reply.ts';
import type { Program } from './procedures/procedure.ts';
import type { Served } from './exports/export-entry.ts';

const RAW_REPLY_LENGTH = 48;

/** Finds the handler of a call. Throws FormatError if the bytes are not a call. */
export type Dispatch = (
  record: Uint8Array,
  how: RecordState & {
    readonly peer: Peer;
    /** Counts the bytes that went through this connection for a tree, in addition to earlier ones. */
    readonly count: (served: Served, moved: Partial<Traffic>) => void;
    /** Called when a call stays unanswered: its client has to send it again. */
    readonly onUnanswered: () => void;
  },
  open: OpenReply,
) => void;

export function dispatcher(programs: readonly Program[], replays: ReplayCache): Dispatch {
  const byNumber = new Map(programs.map((program) => [program.number, program]));
  const reader = xdrReader();
  const call = newCall();

  return (record, { peer, count, keep, isLast, onUnanswered }, open) => {
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    reader.reset(record, view, 0, record.length);
    const problem = readCall(reader, call);
    if (problem === 'not-a-call') throw new FormatError('CORRUPT', 'a reply, not a call');
    const { xid, procedure } = call;
    const program = byNumber.get(call.program);
    const handler =
      program?.version === call.version && !problem ? program.procedure(procedure) : undefined;
    if (!program || !handler) {
      refuse(open(xid, rethrow), problem, program, call);
      return;
    }
    const key = program.happensOnce(procedure) ? replayKey(peer, xid, record) : undefined;
    const fail = (reply: Reply, cause: unknown): void => {
      if (cause instanceof Unanswered) {
        if (key !== undefined) replays.end(key, undefined);
        return onUnanswered();
      }
      if (!(cause instanceof FormatError)) return program.fail(procedure, reply, cause);
      writeAccepted(reply.raw(RAW_REPLY_LENGTH), xid, ACCEPTED.garbageArguments);
      reply.end();
    };
    if (key !== undefined) {
      const known = replays.begin(key);
      // The call is running: its own answer will be sent.
      if (known === 'running') return;
      if (known) return repeat(open(xid, rethrow), known);
    }
    const onEnd = key === undefined ? undefined : (sent: Uint8Array) => replays.end(key, sent);
    const reply = open(xid, fail, onEnd);
    const { uid, gid, gids } = call;
    try {
      const identity = identified({ uid, gid, gids }, peer);
      handler(reader, { peer, count, identity, keep, isLast }, reply);
    } catch (cause) {
      fail(reply, cause);
    }
  };
}

function rethrow(_reply: Reply, cause: unknown): never {
  throw cause;
}

/** The length of the record mark, which precedes a reply. */
const MARK_LENGTH = 4;

function repeat(reply: Reply, known: Uint8Array): void {
  const writer = reply.raw(known.length);
  writer.fixed(known.subarray(MARK_LENGTH));
  reply.end();
}

function refuse(
  reply: Reply,
  problem: CallProblem,
  program: Program | undefined,
  { xid, version }: Pick<Call, 'xid' | 'version'>,
): void {
  const writer = reply.raw(RAW_REPLY_LENGTH);
  if (problem === 'rpc-version') writeRpcMismatch(writer, xid);
  else if (problem === 'credentials') writeAuthError(writer, xid, AUTH_ERRORS.tooWeak);
  else if (!program) writeAccepted(writer, xid, ACCEPTED.programUnavailable);
  else if (program.version === version) writeAccepted(writer, xid, ACCEPTED.procedureUnavailable);
  // A default mount on Linux first asks for version 4, and continues only if the reply offers version 3.
  else writeProgramMismatch(writer, xid, { low: program.version, high: program.version });
  reply.end();
}
