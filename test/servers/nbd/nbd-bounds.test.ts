import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { WritableBlockDevice } from '../../../src/block/block-device.ts';
import { writeLayer } from '../../../src/block/layer.ts';
import { BlockError } from '../../../src/block/block-error.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { memoryBudget } from '../../../src/lib/memory-budget.ts';
import { GiB, KiB, MiB } from '../../../src/lib/sizes.ts';
import { turnOfLoop } from '../../../src/lib/turn-of-loop.ts';
import { blockStatus } from '../../../src/servers/nbd/block-status.ts';
import { nbdConversation } from '../../support/nbd-conversation.ts';
import { nbdExtended } from '../../support/nbd-extended.ts';
import { serveOne } from '../../support/nbd-server.ts';
import { pattern } from '../../support/random.ts';
import { settled, until } from '../../support/until.ts';

// What one client asks for has a bound, in memory and in the time for which others wait.

/** Writes and flushes wait until it is opened. */
function gated(device: WritableBlockDevice) {
  const gate = Promise.withResolvers<void>();
  let waiting = 0;
  const layer = writeLayer('gated', device.geometry, {
    tryRead: device.tryRead,
    read: device.read,
    async write(from, offset, durability) {
      waiting++;
      await gate.promise;
      await device.write(from, offset, durability);
    },
    flush: device.flush,
  });
  return { device: layer, open: gate.resolve, waiting: () => waiting };
}

// A19
test('writes that wait take bounded memory of all clients together, and none is lost', async () => {
  const clients = 8;
  const size = 16 * MiB;
  const contents = new Uint8Array(size);
  const { device, open } = gated(memoryDevice(contents));
  const own = 64 * KiB;
  const memory = memoryBudget({ max: 2 * MiB, own });
  await using server = await serveOne(device, { memory });
  await using stack = new AsyncDisposableStack();
  const expected = pattern(size);
  const writes: Promise<void>[] = [];
  for (let n = 0; n < clients; n++) {
    const disk = stack.use(await openNbdDisk(server.uri));
    for (let at = (n * size) / clients; at < ((n + 1) * size) / clients; at += 256 * KiB) {
      writes.push(disk.write(expected.subarray(at, at + 256 * KiB), at, 'cached'));
    }
  }
  await until('writes that are held', () => memory.held > 0);
  await settled(() => memory.held);
  ok(memory.held > 0 && memory.held <= 2 * MiB + clients * own, `${memory.held} bytes`);
  open();
  await Promise.all(writes);
  deepEqual(contents, expected);
  equal(memory.held, 0);
});

test('while the writes of one client wait, those of another are written', async () => {
  const stuck = gated(memoryDevice(new Uint8Array(64 * MiB)));
  const memory = memoryBudget({ max: 2 * MiB, own: 64 * KiB });
  await using one = await serveOne(stuck.device, { memory });
  const contents = new Uint8Array(8 * MiB);
  await using other = await serveOne(memoryDevice(contents), { memory });
  await using stack = new AsyncDisposableStack();
  const writes: Promise<void>[] = [];
  for (let n = 0; n < 8; n++) {
    const disk = stack.use(await openNbdDisk(one.uri));
    for (let at = 0; at < 8; at++) writes.push(disk.write(new Uint8Array(MiB), at * MiB, 'cached'));
  }
  await until('writes that wait', () => stuck.waiting() > 0);
  await settled(() => memory.held);
  await using disk = await openNbdDisk(other.uri);
  const expected = pattern(contents.length);
  await disk.write(expected, 0, 'durable');
  deepEqual(contents, expected);
  stuck.open();
  await Promise.all(writes);
});

test('a client that leaves in the middle of a write gives its memory back', async () => {
  const memory = memoryBudget({ max: 64 * KiB, own: 16 * KiB });
  await using server = await serveOne(memoryDevice(new Uint8Array(4 * MiB)), { memory });
  for (const length of [MiB, 16 * KiB]) {
    const peer = await nbdConversation(server.socket);
    peer.beginWrite(0, length, pattern(length / 2));
    await until('a part that is held', () => memory.held > 0 || length === MiB);
    peer.end();
    await until('memory given back', () => memory.held === 0);
  }
  await using disk = await openNbdDisk(server.uri);
  await disk.read(new Uint8Array(512), 0);
});

test('peers that read and take nothing hold bounded memory together, and others read on', async () => {
  const size = 64 * MiB;
  const reads = memoryBudget({ max: 8 * MiB, own: 256 * KiB });
  const contents = pattern(size);
  await using server = await serveOne(memoryDevice(contents), { reads });
  const peers = [];
  for (let n = 0; n < 16; n++) {
    const peer = await nbdConversation(server.socket);
    for (let at = 0; at < 32; at++) peer.beginRead(at * MiB, at % 2 === 0 ? MiB : 64 * KiB);
    peers.push(peer);
  }
  await until('reads that are held', () => reads.held > 4 * MiB);
  await settled(() => reads.held);
  ok(reads.held <= 8 * MiB + 17 * 256 * KiB, `${reads.held} bytes`);
  await using disk = await openNbdDisk(server.uri);
  const got = new Uint8Array(256 * KiB);
  for (let at = 0; at < 4 * MiB; at += got.length) {
    await disk.read(got, at);
    deepEqual(got, contents.subarray(at, at + got.length));
  }
  const large = disk.read(new Uint8Array(6 * MiB), 0);
  for (const peer of peers) peer.end();
  await large;
  await until('memory given back', () => reads.held === 0);
});

test('a write in parts is answered once, with what failed first', async () => {
  const memory = memoryBudget({ max: 0, own: 16 * KiB });
  const refusing = writeLayer(
    'refusing',
    { size: 4 * MiB, blockSize: 512 },
    {
      async read() {},
      async write(_from, offset) {
        if (offset >= MiB) throw new BlockError('NO_SPACE', 'full');
      },
      async flush() {},
    },
  );
  await using server = await serveOne(refusing, { memory });
  await using disk = await openNbdDisk(server.uri);
  await disk.write(new Uint8Array(MiB), 0, 'durable');
  await rejects(disk.write(new Uint8Array(2 * MiB), 0, 'cached'), { code: 'NO_SPACE' });
  await disk.write(new Uint8Array(MiB), 0, 'cached');
});

// A9
test('zeros of any length are written in turns, others are answered in between, the last is durable', async () => {
  const size = 64 * 1024 * GiB;
  const pieces: { readonly offset: number; readonly length: number; readonly how: string }[] = [];
  const device = writeLayer(
    'sparse',
    { size, blockSize: 4096 },
    {
      async read(into) {
        into.fill(0);
      },
      async write() {},
      async zero(offset, length, how) {
        pieces.push({ offset, length, how });
      },
      async flush() {},
    },
  );
  await using server = await serveOne(device);
  await using other = await openNbdDisk(server.uri);
  const peer = await nbdExtended(server.socket, 'vda');
  const answered = peer.ask('trim', { offset: 4096, length: 17 * 1024 * GiB, fua: true });
  await until('three pieces', () => pieces.length > 2);
  await other.read(new Uint8Array(4096), 0);
  ok(pieces.length < 17 * 256, 'others are answered in between');
  await answered;
  ok(Math.max(...pieces.map(({ length }) => length)) <= 4 * GiB);
  let at = 4096;
  for (const { offset, length } of pieces) {
    equal(offset, at);
    at += length;
  }
  equal(at, 4096 + 17 * 1024 * GiB);
  deepEqual(new Set(pieces.slice(0, -1).map(({ how }) => how)), new Set(['cached']));
  equal(pieces.at(-1)!.how, 'durable');
  peer.end();
});

test('what a range holds is looked at in pieces, however much of it is alike', async () => {
  let longest = 0;
  let calls = 0;
  const device = writeLayer(
    'alike',
    { size: 64 * 1024 * GiB, blockSize: 4096 },
    {
      async read() {},
      async write() {},
      async extents(offset, length) {
        calls++;
        longest = Math.max(longest, length);
        return [{ offset, length, kind: 'zero' }];
      },
      async flush() {},
    },
  );
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const found = await blockStatus(device, 0, 64 * 1024 * GiB, 'all');
  clearInterval(timer);
  ok(longest <= 32 * MiB, `${longest} bytes at once`);
  ok(calls <= 2048, `${calls} calls`);
  equal(found.length, 1);
  ok(found[0]!.length >= 32 * GiB, `only ${found[0]!.length}`);
});

test('a long read comes in pieces, each where it belongs, and with what failed at its end', async () => {
  const start = 4 * GiB - 2 * MiB;
  const bad = start + 24 * MiB;
  const device = writeLayer(
    'long',
    { size: 8 * GiB, blockSize: 512 },
    {
      async read(into, offset) {
        if (offset + into.length > bad) throw new BlockError('CORRUPT', 'a block is lost');
        into.fill((offset / MiB) % 251);
      },
      async write() {},
      async flush() {},
    },
  );
  await using server = await serveOne(device);
  await using disk = await openNbdDisk(server.uri);
  const got = new Uint8Array(20 * MiB);
  await disk.read(got, start);
  for (let at = 0; at < got.length; at += MiB) {
    equal(got[at], ((start + at) / MiB) % 251);
    equal(got[at + MiB - 1], ((start + at) / MiB) % 251);
  }
  await rejects(disk.read(new Uint8Array(8 * MiB), bad - 4 * MiB), /lost|I\/O|IO/);
  await disk.read(new Uint8Array(512), 0);
  const peer = await nbdExtended(server.socket, 'vda');
  const chunks = await peer.ask('read', { offset: start, length: 3 * MiB + 512 });
  equal(chunks, 3 * MiB + 512 + 4 * 8, 'four pieces');
  peer.end();
});

/** Counts what is lent to it at once, and how much was read; what lies there is fixed by its place. */
function counted(size: number) {
  const counts = { lent: 0, mostLent: 0, read: 0, badAt: Infinity, small: Promise.resolve() };
  const device = writeLayer(
    'counted',
    { size, blockSize: 512 },
    {
      async read(into, offset) {
        counts.lent += into.length;
        counts.mostLent = Math.max(counts.mostLent, counts.lent);
        await turnOfLoop();
        if (into.length === 4096) await counts.small;
        counts.lent -= into.length;
        counts.read += into.length;
        if (offset + into.length > counts.badAt) throw new BlockError('CORRUPT', 'a block is lost');
        for (let at = 0; at < into.length; at += 512) into.fill((offset + at) / 512, at, at + 512);
      },
      async write() {},
      async flush() {},
    },
  );
  return { device, counts };
}

function isAsRead(bytes: Uint8Array, offset: number): boolean {
  for (let at = 0; at < bytes.length; at += 512) {
    const expected = ((offset + at) / 512) & 255;
    if (bytes[at] !== expected || bytes[at + 511] !== expected) return false;
  }
  return true;
}

const LARGEST = 32 * MiB;

test('the largest read takes a few MiB, whatever the style of its answer', async () => {
  const { device, counts } = counted(4 * LARGEST);
  const reads = memoryBudget({ max: 8 * MiB, own: MiB });
  await using server = await serveOne(device, { reads });
  const simple = await nbdConversation(server.socket);
  simple.beginRead(512, LARGEST);
  // Until it takes something, only that is read in advance which sockets hold, and one part.
  await until('more than was taken', () => counts.read > LARGEST);
  await settled(() => counts.read);
  ok(counts.read <= LARGEST + 4 * MiB, `${counts.read - LARGEST} bytes in advance`);
  ok(reads.held <= MiB, `${reads.held} bytes held`);
  equal((await simple.take(16))!.readUInt32BE(4), 0);
  ok(isAsRead((await simple.take(LARGEST))!, 512));
  simple.end();
  const extended = await nbdExtended(server.socket, 'vda');
  const large = { offset: LARGEST, length: LARGEST };
  equal(await extended.ask('read', { ...large, df: true }), LARGEST + 8, 'one chunk');
  equal(await extended.ask('read', large), LARGEST + 32 * 8);
  extended.end();
  await until('memory given back', () => reads.held === 0);
  ok(counts.mostLent <= MiB, `${counts.mostLent} bytes lent at once`);
});

test('the parts of a long answer come together; requests that end in the meantime are answered after it', async () => {
  const { device, counts } = counted(4 * LARGEST);
  const gate = Promise.withResolvers<void>();
  counts.small = gate.promise;
  await using server = await serveOne(device);
  const peer = await nbdConversation(server.socket);
  const [size, small] = [16 * MiB, 4096];
  peer.beginRead(0, small, 2);
  peer.beginRead(0, size, 1);
  // Refused, once all of it has come: it goes beyond the end.
  peer.beginWrite(4 * LARGEST, small, new Uint8Array(small / 2));
  await until('a read that has begun', () => counts.read > size);
  gate.resolve();
  peer.send(new Uint8Array(small / 2));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const seen: string[] = [];
  while (seen.length < 3) {
    const head = (await peer.take(16))!;
    equal(head.readUInt32BE(0), 0x67446698, 'a reply begins here');
    const isRefused = head.readUInt32BE(4) !== 0;
    const length = isRefused ? 0 : head.readUInt32BE(12) === 1 ? size : small;
    ok(isAsRead((await peer.take(length))!, 0));
    seen.push(isRefused ? 'refused' : `${length}`);
  }
  deepEqual(seen.sort(), [`${size}`, `${small}`, 'refused'].sort());
  peer.end();
});

test('a long read of a damaged range is refused; one that fails once it was begun ends the connection', async () => {
  const { device, counts } = counted(4 * LARGEST);
  await using server = await serveOne(device);
  const peer = await nbdConversation(server.socket);
  counts.badAt = 20 * MiB;
  peer.beginRead(0, LARGEST);
  equal((await peer.take(16))!.readUInt32BE(4), 5, 'EIO');
  peer.beginRead(0, 512);
  equal((await peer.take(16 + 512))!.readUInt32BE(4), 0);
  counts.badAt = Infinity;
  counts.read = 0;
  peer.beginRead(0, LARGEST);
  await until('a read that has begun', () => counts.read > LARGEST);
  counts.badAt = 20 * MiB;
  equal((await peer.take(16))!.readUInt32BE(4), 0);
  equal(await peer.take(LARGEST), undefined, 'closed before the end');
  await until('the end of the connection', () => server.export.clients.length === 0);
});
