import { callChecksum } from '../../formats/wire/rpc.ts';

/**
 * Replies to calls that may not happen twice: a client that lost its connection sends them again with the same
 * number, and gets the same answer.
 */
export interface ReplayCache {
  /** The reply that was given; `running`: it will be; undefined: never heard of, and now it runs. */
  begin(key: string): Uint8Array | 'running' | undefined;
  /** `reply` is copied; undefined: it was not carried out. */
  end(key: string, reply: Uint8Array | undefined): void;
}

/** A client repeats a call within minutes, and its connection holds some hundreds. */
const REPLIES_MAX = 2048;

export function replayCache(): ReplayCache {
  const replies = new Map<string, Uint8Array | 'running'>();
  return {
    begin(key) {
      const known = replies.get(key);
      if (known) return known;
      replies.set(key, 'running');
      if (replies.size > REPLIES_MAX) {
        for (const [oldest, reply] of replies) {
          if (reply === 'running') continue;
          replies.delete(oldest);
          break;
        }
      }
      return undefined;
    },
    end(key, reply) {
      if (reply) replies.set(key, reply.slice());
      else replies.delete(key);
    },
  };
}

/** The same number from the same client with other arguments is another call. */
export function replayKey(address: string, xid: number, record: Uint8Array): string {
  return `${address} ${xid} ${callChecksum(record)}`;
}
