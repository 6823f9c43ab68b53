import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { xdrWriter } from '../../../src/formats/wire/xdr.ts';
import { dispatcher } from '../../../src/servers/nfs/dispatch.ts';
import type { OpenReply } from '../../../src/servers/nfs/rpc/replies.ts';
import { replayCache } from '../../../src/servers/nfs/rpc/replay-cache.ts';
import type { Reply } from '../../../src/servers/nfs/rpc/reply.ts';
import type { Program } from '../../../src/servers/nfs/procedures/procedure.ts';

const PROGRAM = 100_003;

function callOf(xid: number, procedure: number): Uint8Array {
  const bytes = new Uint8Array(128);
  const writer = xdrWriter();
  writer.reset(bytes, new DataView(bytes.buffer), 0);
  for (const word of [xid, 0, 2, PROGRAM, 3, procedure, 0, 0, 0, 0]) writer.u32(word);
  return bytes.slice(0, writer.at);
}

/** Which calls were carried out, and which were answered from memory; none ends until `end`. */
function server() {
  const carriedOut: number[] = [];
  const ends: (() => void)[] = [];
  const repeated: number[] = [];
  const program: Program = {
    ...{ number: PROGRAM, version: 3 },
    procedure: (number) => () => void carriedOut.push(number),
    fail(_procedure, _reply, cause) {
      throw cause;
    },
    happensOnce: (procedure) => procedure === 12,
  };
  const open: OpenReply = (xid, _fail, onEnd) => {
    if (onEnd) ends.push(() => onEnd(Uint8Array.of(0, 0, 0, 4, 1, 2, 3, 4)));
    const raw = () => ({ fixed() {} });
    return { raw, end: () => void repeated.push(xid) } as unknown as Reply;
  };
  const dispatch = dispatcher([program], replayCache());
  const how = {
    ...{ peer: { address: '10.0.0.1', port: 7 }, count() {}, onUnanswered() {} },
    ...{ keep: (bytes: Uint8Array) => ({ bytes, release() {} }), isLast: true },
  };
  const take = (record: Uint8Array): void => dispatch(record, how, open);
  return { take, carriedOut, repeated, ends };
}

test('a call that must not happen twice is dropped while it runs, then answered as before', async () => {
  const { take, carriedOut, repeated, ends } = server();
  take(callOf(7, 12));
  take(callOf(7, 12));
  deepEqual(carriedOut, [12], 'a retransmission of what is under way');
  deepEqual(repeated, []);
  equal(ends.length, 1);
  ends[0]!();
  take(callOf(7, 12));
  deepEqual(carriedOut, [12]);
  deepEqual(repeated, [7]);
  take(callOf(8, 12));
  deepEqual(carriedOut, [12, 12], 'another call');
  take(callOf(9, 1));
  take(callOf(9, 1));
  deepEqual(carriedOut, [12, 12, 1, 1], 'what may happen twice is simply done');
});
