import { FormatError } from '../../formats/format-error.ts';
import { RECORD_MARK_LENGTH } from '../../formats/wire/rpc.ts';
import { xdrWriter } from '../../formats/wire/xdr.ts';
import type { Peer } from '../../sys/net/network.ts';
import { dispatcher } from './dispatch.ts';
import type { OpenReply } from './rpc/replies.ts';
import { replayCache } from './rpc/replay-cache.ts';
import { type Reply, writeReplyHeader } from './rpc/reply.ts';
import type { Program } from './procedures/procedure.ts';

const REPLY_LENGTH_MAX = 8 * 1024;

/** Answers calls that come in datagrams. Neither these calls nor their replies have a record mark. */
export function datagramCalls(
  program: Program,
): (bytes: Uint8Array, peer: Peer) => Uint8Array | undefined {
  const dispatch = dispatcher([program], replayCache());
  return (bytes, peer) => {
    let answered: Uint8Array | undefined;
    const open: OpenReply = (xid) => {
      const memory = new Uint8Array(REPLY_LENGTH_MAX);
      const writer = xdrWriter();
      const reply: Reply = {
        raw() {
          writer.reset(memory, new DataView(memory.buffer), RECORD_MARK_LENGTH);
          return writer;
        },
        begin(length) {
          reply.raw(length);
          writeReplyHeader(writer, xid);
          return writer;
        },
        end() {
          answered = memory.subarray(RECORD_MARK_LENGTH, writer.at);
        },
        memory: (at, length) => memory.subarray(at, at + length),
        later() {},
        laterInTurn() {},
      };
      return reply;
    };
    try {
      dispatch(
        bytes,
        {
          peer,
          count() {},
          isLast: true,
          keep: (part) => ({ bytes: part.slice(), release() {} }),
          onUnanswered() {},
        },
        open,
      );
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
    }
    return answered;
  };
}
