import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path/posix';
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { readLayer, writeLayer } from '../../../src/block/layer.ts';
import { type NbdDisk, openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { isNbdUri, parseNbdUri } from '../../../src/block/nbd-client/nbd-uri.ts';
import type { WritableBlockDevice } from '../../../src/block/block-device.ts';
import { BlockError } from '../../../src/block/block-error.ts';
import { guestMemory } from '../../../src/sessions/serve/guest-memory.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { listen } from '../../../src/sys/net/network.ts';
import { openNbdTarget } from '../../../src/servers/nbd/server.ts';
import {
  readAll,
  readableDeviceConforms,
  writableDeviceConforms,
} from '../../block/conformance.ts';
import { serveOne, type TestServer } from '../../support/nbd-server.ts';
import { noise, pattern } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';

const root = temporaryDirectory();

/** Answers everything late, so that replies leave out of order and nothing is answered at once. */
function late(device: WritableBlockDevice): WritableBlockDevice {
  const clock = systemClock();
  const wait = () => clock.sleep(Math.floor(device.geometry.size % 3));
  return writeLayer('late', device.geometry, {
    async read(into, offset) {
      await wait();
      await device.read(into, offset);
    },
    async write(from, offset, durability) {
      await wait();
      await device.write(from, offset, durability);
    },
    flush: () => device.flush(),
  });
}

/** The device as our own client sees it through our own target. */
async function through(device: WritableBlockDevice): Promise<WritableBlockDevice> {
  const server = await serveOne(device);
  const disk = await openNbdDisk(server.uri);
  return ending(disk, server);
}

/** A client that takes its server with it. */
function ending(disk: NbdDisk, server: TestServer): NbdDisk {
  return {
    ...disk,
    async [Symbol.asyncDispose]() {
      await disk[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

writableDeviceConforms(test, (initial) => through(memoryDevice(Uint8Array.from(initial))), {
  operations: 200,
});

test('a device that answers late', async (t) => {
  writableDeviceConforms(
    t.test.bind(t) as never,
    (initial) => through(late(memoryDevice(Uint8Array.from(initial)))),
    { operations: 60 },
  );
});

test('a read-only export', async (t) => {
  readableDeviceConforms(t.test.bind(t) as never, async (initial) => {
    const server = await serveOne(memoryDevice(Uint8Array.from(initial)), { readOnly: true });
    const disk = await openNbdDisk(server.uri);
    await rejects(disk.write(new Uint8Array(1), 0, 'cached'), { code: 'READ_ONLY' });
    return ending(disk, server);
  });
});

test('large requests, more than a connection may have under way', async () => {
  const size = 80 * 2 ** 20 + 512;
  const contents = new Uint8Array(size);
  await using server = await serveOne(memoryDevice(contents));
  await using disk = await openNbdDisk(server.uri);
  const data = noise(3 * 2 ** 20, 3);
  for (let at = 0; at + data.length < size; at += data.length) contents.set(data, at);
  const got = await readAll(disk);
  equal(Buffer.compare(got, contents), 0);
  await disk.write(got.fill(7), 0, 'durable');
  equal(
    contents.every((byte) => byte === 7),
    true,
  );
});

test('a write is given to the device as it comes, unless it is to be durable or is refused', async () => {
  const said: string[] = [];
  const device = writeLayer(
    'takes',
    { size: 1 << 20, blockSize: 4096 },
    {
      async read() {},
      tryWrite(from, offset, done) {
        said.push(`taken ${from[0]} at ${offset}`);
        const failure = offset === 8192 ? new BlockError('NO_SPACE', 'full') : undefined;
        setImmediate(() => done(failure));
        return offset !== 12288;
      },
      async write(from, offset, durability) {
        said.push(`${durability} ${from[0]} at ${offset}`);
      },
      async flush() {},
    },
  );
  await using server = await serveOne(device);
  await using disk = await openNbdDisk(server.uri);
  const page = (value: number) => new Uint8Array(4096).fill(value);
  await disk.write(page(1), 4096, 'cached');
  await disk.write(page(2), 4096, 'durable');
  await rejects(disk.write(page(3), 8192, 'cached'), { code: 'NO_SPACE' });
  await rejects(disk.write(page(4), 1 << 20, 'cached'), { code: 'OUT_OF_RANGE' });
  const [one, two, three, ...rest] = said;
  equal(one, 'taken 1 at 4096');
  equal(two, 'durable 2 at 4096');
  equal(three, 'taken 3 at 8192');
  deepEqual(rest, []);
});

test('a device that has taken a write is closed after it', async () => {
  const said: string[] = [];
  const device = writeLayer(
    'takes',
    { size: 8192, blockSize: 4096 },
    {
      async read() {},
      tryWrite(_from, _offset, done) {
        setImmediate(done);
        return true;
      },
      async write() {},
      async flush() {},
      async close() {
        said.push('closed');
      },
    },
  );
  device.tryWrite(new Uint8Array(4096), 0, () => said.push('done'));
  await device[Symbol.asyncDispose]();
  deepEqual(said, ['done', 'closed']);
});

test('errors reach the client by their kind, and the connection goes on', async () => {
  const codes = ['CORRUPT', 'NO_SPACE', 'READ_ONLY', 'TIMEOUT'] as const;
  const device = readLayer(
    'bad',
    { size: 8192, blockSize: 512 },
    {
      async read(into, offset) {
        const code = codes[offset / 512];
        if (code) throw new BlockError(code, `told: ${code}`);
        into.fill(5);
      },
    },
  );
  await using server = await serveOne(device);
  await using disk = await openNbdDisk(server.uri);
  for (const [index, code] of codes.entries()) {
    const expected = code === 'NO_SPACE' ? 'NO_SPACE' : 'IO';
    await rejects(disk.read(new Uint8Array(512), index * 512), { code: expected, message: /told/ });
  }
  const got = new Uint8Array(512);
  await disk.read(got, 4096);
  deepEqual(got, new Uint8Array(512).fill(5));
});

test('what each client reads and writes is counted; what failed is not, and who has left still counts', async () => {
  await using server = await serveOne(memoryDevice(pattern(8192)));
  const { export: served } = server;
  {
    await using disk = await openNbdDisk(server.uri);
    await using _idle = await openNbdDisk(server.uri);
    await disk.read(new Uint8Array(3000), 0);
    await disk.write(new Uint8Array(500), 0, 'cached');
    await disk.zero(0, 512, 'cached');
    await rejects(disk.read(new Uint8Array(512), 8192));
    const clients = served.clients.map(({ address, traffic }) => ({ address, ...traffic }));
    deepEqual(clients, [
      { address: undefined, readBytes: 3000, writtenBytes: 500 },
      { address: undefined, readBytes: 0, writtenBytes: 0 },
    ]);
  }
  await until('the end of the connections', () => served.clients.length === 0);
  deepEqual(served.traffic, { readBytes: 3000, writtenBytes: 500 });
});

test('closing an export finishes what is under way and refuses new clients', async () => {
  const gate = Promise.withResolvers<void>();
  const inner = memoryDevice(pattern(8192));
  let [started, flushed] = [0, 0];
  const device = writeLayer('gated', inner.geometry, {
    async read(into, offset) {
      started++;
      await gate.promise;
      await inner.read(into, offset);
    },
    write: inner.write,
    async flush() {
      flushed++;
    },
  });
  await using server = await serveOne(device);
  await using disk = await openNbdDisk(server.uri);
  const got = new Uint8Array(100);
  const read = disk.read(got, 50);
  await until('a read under way', () => started > 0);
  equal(server.export.clients.length, 1);
  const closed = server.export[Symbol.asyncDispose]();
  gate.resolve();
  await closed;
  await read;
  deepEqual(got, pattern(8192).subarray(50, 150));
  equal(flushed, 1);
  await rejects(openNbdDisk(server.uri), { message: /no such export/ });
  await rejects(disk.read(got, 0), { code: 'IO' });
});

test('TCP, several exports, and names that need escaping', async () => {
  const listen = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
  await using target = await openNbdTarget({ clock: systemClock(), listen, memory: guestMemory() });
  const names = ['vda', 'a b/ü?', 'x'.repeat(200)];
  for (const [index, name] of names.entries()) {
    const device = memoryDevice(pattern(4096 * (index + 1)));
    const { uri } = target.export(name, device, { description: name, readOnly: true });
    await using disk = await openNbdDisk(uri);
    equal(disk.geometry.size, 4096 * (index + 1));
  }
});

test('an NBD URI names host, port, socket and export, and a wrong one is refused', async () => {
  equal(isNbdUri('/a/nbd://x'), false);
  equal(isNbdUri('nbd+unix:///x?socket=/a'), true);
  deepEqual(parseNbdUri('nbd://[::1]:99/a%20b'), {
    name: 'a b',
    address: { kind: 'tcp', host: '::1', port: 99 },
  });
  deepEqual(parseNbdUri('nbd://host'), {
    name: '',
    address: { kind: 'tcp', host: 'host', port: 10809 },
  });
  for (const bad of ['nbd+unix:///x', 'nbds+unix:///x', 'nbd://']) {
    try {
      parseNbdUri(bad);
      equal(bad, 'nbd://');
    } catch (cause) {
      equal((cause as BlockError).code, 'IO');
    }
  }
});

test('a server that owes an answer and says nothing is given up', async () => {
  const mute = await listen({ kind: 'unix', path: join(root, 'mute.sock') }, () => {});
  await rejects(
    openNbdDisk(`nbd+unix:///vda?socket=${join(root, 'mute.sock')}`, { silenceMs: 100 }),
    {
      code: 'UNREACHABLE',
      message: /nothing was heard/,
    },
  );
  await mute[Symbol.asyncDispose]();

  const { promise: answer, resolve: release } = Promise.withResolvers<void>();
  const stuck = readLayer('stuck', { size: 4096, blockSize: 4096 }, { read: () => answer });
  await using server = await serveOne(stuck);
  await using disk = await openNbdDisk(server.uri, { silenceMs: 100 });
  // Nothing is owed here.
  await sleep(200);
  await rejects(disk.read(new Uint8Array(4096), 0), { code: 'IO', message: /nothing was heard/ });
  release();
});
