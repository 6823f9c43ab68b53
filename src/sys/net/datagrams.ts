import { createSocket, type Socket } from 'node:dgram';
import { anyFamily, plainAddress, type Peer } from './network.ts';
import { inUri } from './networks.ts';
import { isIpv6 } from './socket-options.ts';
import { systemError } from '../base/system-error.ts';

export type DatagramPlace =
  | { readonly host: string; readonly port: number }
  /** A socket that systemd opened. */
  | { readonly fd: number };

type Answer = (bytes: Uint8Array, peer: Peer) => Uint8Array | undefined;

/** Answers each datagram with at most one. Disposing closes the socket. */
export async function answerDatagrams(
  place: DatagramPlace,
  answer: Answer,
): Promise<AsyncDisposable> {
  const socket = await anyFamily(place, (at) => boundSocket(at, answer));
  socket.on('error', () => {});
  return {
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => socket.close(resolve));
    },
  };
}

async function boundSocket(place: DatagramPlace, answer: Answer): Promise<Socket> {
  const isInherited = 'fd' in place;
  const isSix = isInherited ? isIpv6(place.fd) : place.host.includes(':');
  const shown = isInherited ? `descriptor ${place.fd}` : `udp:${inUri(place.host)}:${place.port}`;
  const socket = createSocket({ type: isSix ? 'udp6' : 'udp4' });
  socket.on('message', (bytes, { address, port: from }) => {
    // RFC 768: a sender at port 0 does not expect an answer, and Node throws when one is sent there.
    if (from === 0) return;
    const reply = answer(bytes, { address: plainAddress(address), port: from });
    // If the network loses it, the peer asks again.
    if (reply) socket.send(reply, from, address, () => {});
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (cause) => {
      socket.close();
      reject(systemError(cause, `listen on ${shown}`));
    });
    socket.bind(
      isInherited ? { fd: place.fd } : { port: place.port, address: place.host },
      resolve,
    );
  });
  return socket;
}
