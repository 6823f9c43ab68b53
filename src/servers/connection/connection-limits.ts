import { peerNetwork } from '../../sys/net/networks.ts';
import type { ByteStream, Peer } from '../../sys/net/network.ts';

/*
 * Connections that compete for room. A full server never turns away a host that has few connections: the host with
 * the most gives one up. `yields` says which one, and whether a host may do that to itself.
 */
export interface ConnectionLimits {
  /**
   * Undefined: there is no room. Otherwise another connection may have been ended to make room. `peer`: what is known
   * about the peer besides its stream.
   */
  enter(stream: ByteStream, peer?: Peer): Member | undefined;
  readonly size: number;
}

export interface Member {
  /** Notes activity: inactive connections are ended first. */
  heard(): void;
  leave(): void;
}

export interface ConnectionLimitsOptions {
  /**
   * `always`: the connection that has been silent for longest makes room for the next, even one of the same host:
   * nothing is lost with it. `to-others`: the connection is in use (a guest's disk), and makes room only for hosts
   * that have fewer.
   */
  readonly yields: 'always' | 'to-others';
}

/** Each connection takes a descriptor, and buffers of its own. */
const CONNECTIONS_MAX = 256;
/** Limit for one host, so that others have room: Linux makes up to 16 for an NFS mount (`nconnect`). */
const CONNECTIONS_OF_HOST_MAX = 128;

interface Inside {
  readonly stream: ByteStream;
  /** The host, or a user of this machine; undefined: over a unix socket. */
  readonly host: string | undefined;
  /**
   * Whether the peer has sent anything, and when it last did or, until then, when it arrived. Only the order counts.
   */
  hasSpoken: boolean;
  lastHeard: number;
}

/** The one of two connections to end first: one that has sent nothing at all, otherwise the one silent for longer. */
function lessUsed(a: Inside, b: Inside): Inside {
  if (a.hasSpoken !== b.hasSpoken) return a.hasSpoken ? b : a;
  return b.lastHeard < a.lastHeard ? b : a;
}

/** Each user of this machine counts as a host. */
function hostOf({ address, user }: Peer): string {
  return user === undefined ? peerNetwork(address) : `user ${user}`;
}

export function connectionLimits({ yields }: ConnectionLimitsOptions): ConnectionLimits {
  const inside = new Set<Inside>();
  let sequence = 0;

  function ofHost(host: string | undefined): Inside[] {
    return [...inside].filter((it) => it.host === host);
  }
  function largestHost(): Inside[] {
    const hosts = Map.groupBy(inside, ({ host }) => host);
    return [...hosts.values()].reduce((most, it) => (it.length > most.length ? it : most));
  }
  /** The connections of the host that must give one up; undefined: there is none. */
  function whoYields(host: string | undefined): Inside[] | undefined {
    const its = ofHost(host);
    if (yields === 'always' && its.length >= CONNECTIONS_OF_HOST_MAX) return its;
    const most = largestHost();
    return yields === 'always' || most.length > its.length + 1 ? most : undefined;
  }
  return {
    get size() {
      return inside.size;
    },
    enter(stream, peer = stream.peer) {
      const host = peer && hostOf(peer);
      const hostIsFull = host !== undefined && ofHost(host).length >= CONNECTIONS_OF_HOST_MAX;
      if (hostIsFull && yields === 'to-others') return undefined;
      if (hostIsFull || inside.size >= CONNECTIONS_MAX) {
        const silent = whoYields(host)?.reduce(lessUsed);
        if (!silent) return undefined;
        inside.delete(silent);
        silent.stream.destroy();
      }
      const it: Inside = { stream, host, hasSpoken: false, lastHeard: ++sequence };
      inside.add(it);
      return {
        heard() {
          it.hasSpoken = true;
          it.lastHeard = ++sequence;
        },
        leave: () => void inside.delete(it),
      };
    },
  };
}
