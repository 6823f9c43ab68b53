import type { UnixPeer } from '../../sys/net/unix-peer.ts';

/** Who asks: a process of this machine, as the kernel vouches for it, or whoever shows a token, from another host. */
export type Caller = UnixPeer | RemoteCaller;

export interface RemoteCaller {
  /** Its name; the token itself is told to nobody. */
  readonly token: string;
  readonly address: string;
}

/** For logs. */
export function callerWords(caller: Caller): string {
  return 'token' in caller
    ? `token ${caller.token} at ${caller.address}`
    : `user ${caller.uid} (process ${caller.pid})`;
}
