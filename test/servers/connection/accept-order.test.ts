import { deepEqual, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { ByteStream } from '../../../src/sys/net/network.ts';
import { connectionLimits } from '../../../src/servers/connection/connection-limits.ts';

test('a connection that said nothing makes room before one that was used earlier', async () => {
  const ended: string[] = [];
  const streamOf = (name: string, address: string) =>
    ({ peer: { address, port: 1 }, destroy: () => void ended.push(name) }) as unknown as ByteStream;
  const room = connectionLimits({ yields: 'always' });
  const used = room.enter(streamOf('used', '10.0.0.1'));
  used!.heard();
  ok(room.enter(streamOf('silent', '10.0.0.1')));
  for (let n = 2; n < 256; n++) ok(room.enter(streamOf(`other ${n}`, `10.1.0.${n}`)));
  ok(room.enter(streamOf('new', '10.2.0.1')));
  deepEqual(ended, ['silent']);
});
