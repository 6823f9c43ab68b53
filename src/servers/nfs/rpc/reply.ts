import { ACCEPTED, writeAccepted } from '../../../formats/wire/rpc.ts';
import { STATUS } from '../../../formats/wire/nfs3.ts';
import type { XdrWriter } from '../../../formats/wire/xdr.ts';

/** How one call is answered: once, now or later. The memory it offers is sent without copying. */
export interface Reply {
  /** Makes room for at most `length` bytes, which begin with the number of the call. */
  raw(length: number): XdrWriter;
  /** Makes room, and writes the header of an accepted call. `length`: at most so many bytes of results follow. */
  begin(length: number): XdrWriter;
  /** Sends the bytes written since `begin` or `raw`. */
  end(): void;
  /** The memory of the last `begin`, from `at` on. */
  memory(at: number, length: number): Uint8Array;
  /**
   * Answers when `work`, which calls `begin` and `end` in one tick, is done. `length`: the bytes that the work keeps
   * in memory. A rejection becomes the reply.
   */
  later(length: number, work: () => Promise<void>): void;
  /** Like `later`; begins once this connection and all others have little enough in memory. */
  laterInTurn(length: number, work: () => Promise<void>): void;
}

/** Header and status of an NFS reply. */
export function nfsOk(reply: Reply, length: number): XdrWriter {
  const writer = reply.begin(length + 4);
  writer.u32(STATUS.ok);
  return writer;
}

/** `words`: how many zeros follow the status of an error: they say that no attributes follow. */
export function nfsError(reply: Reply, status: number, words: number): void {
  const writer = reply.begin(4 + 4 * words);
  writer.u32(status);
  for (let n = 0; n < words; n++) writer.u32(0);
  reply.end();
}

export function writeReplyHeader(writer: XdrWriter, xid: number): void {
  writeAccepted(writer, xid, ACCEPTED.success);
}
