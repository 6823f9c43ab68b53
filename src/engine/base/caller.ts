import type { UnixPeer } from '../../sys/net/unix-peer.ts';

/** The client: a process of this machine, as the kernel reports it, or a token from another host. */
export type Caller = UnixPeer | RemoteCaller;

export interface RemoteCaller {
  /** The token's name; the token itself is never passed on. */
  readonly token: string;
  readonly address: string;
}

/** Describes the client for logs. */
export function callerWords(caller: Caller): string {
  return 'token' in caller
    ? `token ${caller.token} at ${caller.address}`
    : `user ${caller.uid} (process ${caller.pid})`;
}
