import { ACCEPTED, writeAccepted } from '../../../formats/wire/rpc.ts';
import { STATUS } from '../../../formats/wire/nfs3.ts';
import type { XdrWriter } from '../../../formats/wire/xdr.ts';

/** How one call is answered: once, now or later. Memory is where the reply is sent from. */
export interface Reply {
  /** Makes room for `length` bytes at most, of which the first is the number of the call. */
  raw(length: number): XdrWriter;
  /** Makes room and writes the header of an accepted call; `length`: of the results at most. */
  begin(length: number): XdrWriter;
  /** What was written since `begin` is the reply. */
  end(): void;
  /** The memory of the last `begin`, from `at` on. */
  memory(at: number, length: number): Uint8Array;
  /**
   * Answers when `work` is done, which itself calls `begin` and `end` in one tick. `length`: of what the
   * work keeps in memory. Whatever it rejects with becomes the reply.
   */
  later(length: number, work: () => Promise<void>): void;
  /** As `later`; begins once this connection and all others have little enough in memory. */
  laterInTurn(length: number, work: () => Promise<void>): void;
}

/** Header and status of an NFS reply. */
export function nfsOk(reply: Reply, length: number): XdrWriter {
  const writer = reply.begin(length + 4);
  writer.u32(STATUS.ok);
  return writer;
}

/** `words`: how many zeros follow a status that is an error: no attributes are told. */
export function nfsError(reply: Reply, status: number, words: number): void {
  const writer = reply.begin(4 + 4 * words);
  writer.u32(status);
  for (let n = 0; n < words; n++) writer.u32(0);
  reply.end();
}

export function writeReplyHeader(writer: XdrWriter, xid: number): void {
  writeAccepted(writer, xid, ACCEPTED.success);
}
