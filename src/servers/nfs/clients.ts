import type { MemoryBudget } from '../../lib/memory-budget.ts';
import { MiB } from '../../lib/sizes.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { ByteStream, Peer } from '../../sys/net/network.ts';
import { connectionLimits } from '../connection/connection-limits.ts';
import { slabPool } from '../connection/reply-queue.ts';
import { stayAwake } from '../connection/busy-poll.ts';
import { addTraffic, type Client, noTraffic, type Traffic } from '../connection/traffic.ts';
import { type Connection, connection } from './rpc/connection.ts';
import type { Dispatch } from './dispatch.ts';
import { recordMemory } from './rpc/records.ts';
import type { Served } from './exports/export-entry.ts';

/**
 * The connected clients, with limits for all of them together. Disposing answers the calls under way, and ends the
 * connections.
 */
export interface NfsClients extends AsyncDisposable {
  /** The connected clients that have read or written something in this tree. */
  of(served: Served): readonly Client[];
  /** Traffic of all clients, including former ones. */
  trafficOf(served: Served): Traffic;
  /** Whether the peer is a host or a local user that may see anything. Connections of strangers are not even read. */
  knows(peer: Peer): boolean;
  /** `peer` is at the other end of the stream. */
  accept(stream: ByteStream, peer: Peer, dispatch: Dispatch): void;
  /** Ends connections on which calls stay unanswered: their clients reconnect and send the calls again. */
  askAgain(): void;
}

export interface NfsClientsOptions {
  readonly clock: Clock;
  readonly writes: MemoryBudget;
  readonly admits: (peer: Peer) => boolean;
}

/** Bytes of answers of all connections. */
const HELD_MAX = 128 * MiB;
const FINISH_MS = 5000;

/**
 * Weak: a host stays connected for months, while sessions come and go. The count of what it read from a session that
 * has ended must not keep the session's disks and caches in memory.
 */
type TrafficByTree = WeakMap<Served, Traffic>;

interface Connected {
  readonly host: string;
  readonly since: Date;
  readonly traffic: TrafficByTree;
  readonly connection: Connection;
  hasUnanswered: boolean;
}

export function nfsClients({ clock, writes, admits }: NfsClientsOptions): NfsClients {
  const clients = new Map<ByteStream, Connected>();
  /** Traffic of all clients, including former ones. */
  const total: TrafficByTree = new WeakMap();
  const awake = stayAwake(clock);
  const memory = recordMemory();
  const slabs = slabPool();
  /** A client whose connection is ended reconnects, and repeats its unanswered calls. */
  const room = connectionLimits({ yields: 'always' });

  function hasRoom(length: number): boolean {
    let held = length;
    for (const { connection: it } of clients.values()) held += it.held();
    return held <= HELD_MAX;
  }
  // Whether a host is known does not depend on its port.
  const knows = (peer: Peer): boolean => admits(anyPort(peer));
  async function finish(stream: ByteStream, it: Connection): Promise<void> {
    const over = new AbortController();
    await Promise.race([it.stop(), clock.sleep(FINISH_MS, over.signal).catch(() => {})]);
    over.abort();
    stream.end();
  }
  return {
    of(served) {
      const found: Client[] = [];
      for (const { host: address, since, traffic } of clients.values()) {
        const its = traffic.get(served);
        if (its) found.push({ address, since, traffic: its });
      }
      return found;
    },
    trafficOf: (served) => ({ ...(total.get(served) ?? noTraffic()) }),
    knows,
    accept(stream, peer, dispatch) {
      const place = knows(peer) ? room.enter(stream, peer) : undefined;
      if (!place) return stream.destroy();
      const count = (served: Served, moved: Partial<Traffic>): void => {
        addTraffic(trafficIn(client.traffic, served), moved);
        addTraffic(trafficIn(total, served), moved);
      };
      const onUnanswered = (): void => void (client.hasUnanswered = true);
      const client: Connected = {
        ...{ host: peer.address, since: clock.now(), traffic: new WeakMap() },
        hasUnanswered: false,
        connection: connection({
          ...{ stream, memory, writes: writes.join(), slabs, awake, hasRoom },
          answer(record, how, open) {
            place.heard();
            dispatch(record, { ...how, peer, count, onUnanswered }, open);
          },
        }),
      };
      clients.set(stream, client);
      stream.onClose = () => {
        client.connection.abandon();
        place.leave();
        clients.delete(stream);
        if (clients.size === 0) slabs.clear();
      };
    },
    askAgain() {
      for (const [stream, { hasUnanswered }] of clients) if (hasUnanswered) stream.destroy();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...clients].map(([stream, it]) => finish(stream, it.connection)));
    },
  };
}

function trafficIn(all: TrafficByTree, served: Served): Traffic {
  const its = all.get(served) ?? noTraffic();
  all.set(served, its);
  return its;
}

export function anyPort({ address, user }: Peer): Peer {
  return { address, port: 0, user };
}
