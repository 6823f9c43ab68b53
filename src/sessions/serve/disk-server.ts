import type { Clock } from '../../sys/base/clock.ts';
import { type Address, type Peer, type TlsCredentials } from '../../sys/net/network.ts';
import { isAnyAddress, type Networks } from '../../sys/net/networks.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { reachableAt } from '../../sys/net/this-host.ts';
import { type NbdMemory, type NbdTarget, openNbdTarget } from '../../servers/nbd/server.ts';

/**
 * An NBD server for the disks of all sessions of this process, each as export `SESSION/DISK`, beside the addresses
 * that sessions have of their own.
 */
export interface DiskServer extends AsyncDisposable {
  readonly target: NbdTarget;
  /** Where clients reach it. */
  host(): string;
  /** Clients are served through TLS only. */
  readonly tls: boolean;
  /**
   * Whether the disks of a session are shown, which wants TLS or does not. One that does is served at its own address
   * to those who have its key: here too only who shows that he is known may find it, and not whoever is encrypted.
   */
  shows(session: { readonly tls: boolean }): boolean;
  /**
   * Clients that connect from now on are served with these. Throws FAILED where they would decide otherwise than those
   * before whether clients are authenticated: exports and users were chosen by that.
   */
  renew(tls: TlsCredentials): void;
}

export interface DiskServerOptions {
  readonly clock: Clock;
  /** At least one. */
  readonly listen: readonly Address[];
  readonly allow: Networks;
  /** For what guests write. */
  readonly memory: NbdMemory;
  readonly tls: TlsCredentials | undefined;
  /** Which users of this machine may open disks, where clients are not authenticated. */
  readonly admitsUser: (uid: number) => boolean;
}

/** Whether TLS authenticates clients. */
export function knowsClients(tls: TlsCredentials | undefined): boolean {
  return tls?.kind === 'psk' || tls?.authority !== undefined;
}

/** Answers nobody until `target.answer`. Rejects BUSY, DENIED. */
export async function openDiskServer({
  clock,
  listen: [first, ...others],
  allow,
  memory,
  tls,
  admitsUser,
}: DiskServerOptions): Promise<DiskServer> {
  const target = await openNbdTarget({
    ...{ clock, listen: first!, others, memory },
    // A client that comes again must not write to whatever session is alone by then.
    hasDefault: false,
    ...(!knowsClients(tls) && { admitsUser }),
    admits: (peer: Peer | undefined) => peer !== undefined && allow.has(peer.address),
    tls: tls && { mode: 'require', credentials: tls },
  });
  target.hold();
  const isKnown = knowsClients(tls);
  return {
    target,
    tls: tls !== undefined,
    host() {
      const isOne = first!.kind === 'tcp' && !isAnyAddress(first!.host);
      return isOne ? first!.host : reachableAt(allow.names);
    },
    shows: (session) => isKnown || !session.tls,
    renew(next) {
      if (!tls || knowsClients(next) !== isKnown) {
        throw new SystemError(
          'FAILED',
          'whether TLS is used, and asks clients who they are, changes when the service is started again',
        );
      }
      target.renew(next);
    },
    [Symbol.asyncDispose]: () => target[Symbol.asyncDispose](),
  };
}
