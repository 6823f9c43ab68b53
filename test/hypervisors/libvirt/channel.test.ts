import { deepEqual } from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { test } from 'tap';
import { openChannel } from '../../../src/hypervisors/libvirt/channel.ts';
import { selfSigned } from '../../support/certificates.ts';
import { without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';
import { endless } from '../taking.ts';

test('through TLS each packet is a record of its own, however many are sent at once, and all are sent', {
  skip: without('openssl'),
}, async () => {
  const directory = temporaryDirectory();
  const [certificate, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  await selfSigned({ certificate, key }, 'a libvirtd', 'IP:127.0.0.1');
  const records: string[] = [];
  let hasEnded = false;
  const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
  server.on('secureConnection', (socket) => {
    // Each record is emitted by itself.
    socket.on('data', (bytes: Buffer) => records.push(bytes.toString()));
    socket.on('end', () => (hasEnded = true));
    socket.write(Uint8Array.of(1));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const pinned = {
      ...({ kind: 'x509', name: '127.0.0.1', fingerprint: undefined, own: undefined } as const),
      authority: readFileSync(certificate),
    };
    const tls = { host: '127.0.0.1', port, server: pinned };
    const place = { kind: 'tls', driver: 'qemu:///system', tls } as const;
    const { stream } = await openChannel(place, endless());
    stream.start();
    const packets = ['list', 'state of web1', 'keepalive'];
    for (const it of packets) stream.write(Buffer.from(it));
    stream.end();
    await until('the end', () => hasEnded);
    deepEqual(records, packets);
  } finally {
    server.close();
  }
});
