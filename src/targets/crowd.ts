import type { ByteStream } from '../sys/network.ts';

/** Each takes a descriptor, and buffers of its own. */
const CONNECTIONS_MAX = 256;
/** Of one host, so that others have room: Linux makes up to 16 for an NFS mount (`nconnect`). */
const CONNECTIONS_OF_HOST_MAX = 128;

/** Whether there is no room for a stream beside these. Over a unix socket all are this machine: no host. */
export function isFull(streams: Iterable<ByteStream>, { peer }: ByteStream): boolean {
  let all = 0;
  let its = 0;
  for (const it of streams) {
    all++;
    if (peer && it.peer?.address === peer.address) its++;
  }
  return all >= CONNECTIONS_MAX || its >= CONNECTIONS_OF_HOST_MAX;
}
