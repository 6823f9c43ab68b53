import { callChecksum } from '../../../formats/wire/rpc.ts';
import type { Peer } from '../../../sys/net/network.ts';

/**
 * Replies to calls that may be carried out only once: a client that lost its connection sends such a call again with
 * the same number, and gets the same reply.
 */
export interface ReplayCache {
  /**
   * The reply that was given; `running`: it will be given; undefined: the call is new, and counts as running from now
   * on.
   */
  begin(key: string): Uint8Array | 'running' | undefined;
  /** Copies `reply`; undefined: the call was not carried out. */
  end(key: string, reply: Uint8Array | undefined): void;
}

/** A client repeats a call within minutes; a connection has some hundreds of calls under way. */
const REPLIES_MAX = 4096;
/** Limit for one client: a client that creates thousands of files evicts its own answers, not those of others. */
const REPLIES_OF_CLIENT_MAX = 1024;

export function replayCache(): ReplayCache {
  const replies = new Map<string, Uint8Array | 'running'>();
  const counts = new Map<string, number>();

  function drop(key: string): void {
    if (!replies.delete(key)) return;
    const client = clientOf(key);
    const its = counts.get(client)! - 1;
    if (its === 0) counts.delete(client);
    else counts.set(client, its);
  }
  /** Drops the oldest call that was answered, of one client or of all. */
  function dropOldest(client: string | undefined): void {
    for (const [key, reply] of replies) {
      if (reply === 'running' || (client !== undefined && clientOf(key) !== client)) continue;
      return drop(key);
    }
  }
  return {
    begin(key) {
      const known = replies.get(key);
      if (known) return known;
      const client = clientOf(key);
      const its = (counts.get(client) ?? 0) + 1;
      replies.set(key, 'running');
      counts.set(client, its);
      if (its > REPLIES_OF_CLIENT_MAX) dropOldest(client);
      else if (replies.size > REPLIES_MAX) dropOldest(undefined);
      return undefined;
    },
    end(key, reply) {
      if (reply) replies.set(key, reply.slice());
      else drop(key);
    },
  };
}

function clientOf(key: string): string {
  return key.slice(0, key.indexOf(' '));
}

/** A call with the same number but other arguments is another call. */
export function replayKey({ address, user }: Peer, xid: number, record: Uint8Array): string {
  return `${address}/${user ?? ''} ${xid} ${callChecksum(record)}`;
}
