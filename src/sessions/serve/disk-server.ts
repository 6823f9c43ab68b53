import type { Clock } from '../../sys/base/clock.ts';
import { type Address, type Peer, type TlsCredentials } from '../../sys/net/network.ts';
import { isAnyAddress, type Networks } from '../../sys/net/networks.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { reachableAt } from '../../sys/net/this-host.ts';
import { type NbdMemory, type NbdTarget, openNbdTarget } from '../../servers/nbd/server.ts';

/**
 * An NBD server for the disks of all sessions of this process, each as export `SESSION/DISK`, in addition to the
 * addresses that sessions have of their own.
 */
export interface DiskServer extends AsyncDisposable {
  readonly target: NbdTarget;
  /** The host at which clients reach it. */
  host(): string;
  /** Whether clients must use TLS. */
  readonly tls: boolean;
  /**
   * Whether the disks of a session are shown, by whether it requires TLS. A session with TLS is served at its own
   * address only to clients that have its key: so here too only authenticated clients may find it, encryption alone
   * does not suffice.
   */
  shows(session: { readonly tls: boolean }): boolean;
  /**
   * Clients that connect from now on are served with these credentials. Throws FAILED if these differ from the former
   * ones in whether clients are authenticated: exports and users were chosen on that basis.
   */
  renew(tls: TlsCredentials): void;
}

export interface DiskServerOptions {
  readonly clock: Clock;
  /** At least one. */
  readonly listen: readonly Address[];
  readonly allow: Networks;
  /** Memory for guests' requests. */
  readonly memory: NbdMemory;
  readonly tls: TlsCredentials | undefined;
  /** Whether a user of this machine may open disks, where clients are not authenticated. */
  readonly admitsUser: (uid: number) => boolean;
}

/** Whether TLS authenticates clients. */
export function knowsClients(tls: TlsCredentials | undefined): boolean {
  return tls?.kind === 'psk' || tls?.authority !== undefined;
}

/** Answers no client until `target.answer`. Rejects BUSY, DENIED. */
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
    // A client that reconnects must not write to another session that happens to be the only one by then.
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
          'whether TLS is used and authenticates clients only changes when the service restarts',
        );
      }
      target.renew(next);
    },
    [Symbol.asyncDispose]: () => target[Symbol.asyncDispose](),
  };
}
