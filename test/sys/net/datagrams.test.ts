import { deepEqual, equal } from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { test } from 'tap';
import { answerDatagrams } from '../../../src/sys/net/datagrams.ts';

const CREATED = 'udp.socket';

test('a datagram from port 0, which cannot be answered, ends nothing', async () => {
  const sockets: Socket[] = [];
  const seen = (message: unknown): void =>
    void sockets.push((message as { socket: Socket }).socket);
  subscribe(CREATED, seen);
  const asked: number[] = [];
  await using _answering = await answerDatagrams(
    { host: '127.0.0.1', port: 0 },
    (bytes, { port }) => {
      asked.push(port);
      return bytes.map((byte) => byte + 1);
    },
  );
  unsubscribe(CREATED, seen);
  const [server] = sockets;
  const { port } = server!.address();
  // Only a raw socket sends such a one, and only root has those.
  server!.emit('message', Buffer.of(7), { address: '127.0.0.1', family: 'IPv4', port: 0, size: 1 });

  const client = createSocket('udp4');
  client.send(Uint8Array.of(1, 2), port, '127.0.0.1');
  const [reply] = (await once(client, 'message')) as [Buffer];
  deepEqual([...reply], [2, 3]);
  equal(asked.length, 1);
  client.close();
});
