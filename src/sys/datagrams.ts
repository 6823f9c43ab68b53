import { createSocket } from 'node:dgram';
import { plainAddress, type Peer } from './network.ts';
import { systemError } from './system-error.ts';

/** Answers each datagram with at most one. Disposing ends it. */
export async function answerDatagrams(
  { host, port }: { readonly host: string; readonly port: number },
  answer: (bytes: Uint8Array, peer: Peer) => Uint8Array | undefined,
): Promise<AsyncDisposable> {
  const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4' });
  socket.on('message', (bytes, { address, port: from }) => {
    const reply = answer(bytes, { address: plainAddress(address), port: from });
    // Whether it arrives is the network's affair, and the peer asks again.
    if (reply) socket.send(reply, from, address, () => {});
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (cause) => reject(systemError(cause, `listen on udp:${host}:${port}`)));
    socket.bind(port, host, resolve);
  });
  socket.on('error', () => {});
  return {
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => socket.close(resolve));
    },
  };
}
