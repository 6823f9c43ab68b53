import type { Clock } from '../sys/clock.ts';
import { type Address, type Peer, type TlsCredentials } from '../sys/network.ts';
import type { Networks } from '../sys/networks.ts';
import { type NbdTarget, openNbdTarget } from '../targets/nbd/target.ts';

/**
 * An NBD server for the disks of all sessions of this process, each as export `SESSION/DISK`, beside the addresses
 * that sessions have of their own.
 */
export interface DiskServer extends AsyncDisposable {
  readonly target: NbdTarget;
  /** Clients are served through TLS only. Without, sessions that want TLS are not shown. */
  readonly tls: boolean;
}

export interface DiskServerOptions {
  readonly clock: Clock;
  /** At least one. */
  readonly listen: readonly Address[];
  readonly allow: Networks;
  readonly tls: TlsCredentials | undefined;
}

/** Answers nobody until `target.answer`. Rejects BUSY, DENIED. */
export async function openDiskServer({
  clock,
  listen: [first, ...others],
  allow,
  tls,
}: DiskServerOptions): Promise<DiskServer> {
  const target = await openNbdTarget({
    ...{ clock, listen: first!, others },
    // A client that comes again must not write to whatever session is alone by then.
    hasDefault: false,
    admits: (peer: Peer | undefined) => peer !== undefined && allow.has(peer.address),
    tls: tls && { mode: 'require', credentials: tls },
  });
  target.hold();
  return {
    target,
    tls: tls !== undefined,
    [Symbol.asyncDispose]: () => target[Symbol.asyncDispose](),
  };
}
