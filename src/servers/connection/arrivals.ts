import type { ByteStream, Peer } from '../../sys/net/network.ts';
import type { SocketOwners } from '../../sys/net/socket-owner.ts';
import { connectionLimits } from './connection-limits.ts';

export interface ArrivalOptions {
  /** Whether the peer may connect at all. */
  readonly knows: (peer: Peer) => boolean;
  readonly welcome: (stream: ByteStream, peer: Peer) => void;
}

/**
 * Finds out which user owns a connection from this machine before any of its data is read. The number of connections
 * that wait for this is limited, like that of admitted connections.
 */
export function arrivals(
  owners: SocketOwners,
  { knows, welcome }: ArrivalOptions,
): (stream: ByteStream) => void {
  const room = connectionLimits({ yields: 'always' });

  return (stream) => {
    const { peer, local } = stream;
    const place = peer && local && knows(peer) ? room.enter(stream) : undefined;
    if (!peer || !local || !place) return stream.destroy();
    let isOver = false;
    stream.onClose = () => {
      isOver = true;
      place.leave();
    };
    void owners.of(peer, local).then((owner) => {
      place.leave();
      if (isOver) return;
      if (owner === 'gone') return stream.destroy();
      const found: Peer = owner === 'elsewhere' ? peer : { ...peer, user: owner };
      if (knows(found)) welcome(stream, found);
      else stream.destroy();
    });
  };
}
