import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { openNbdDisk, type NbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const root = temporaryDirectory();
const PAGE = 4096;

// D1
const skip = without('qemu-nbd');
test('a server may answer with as many extents as QEMU does', { skip }, async () => {
  const pages = 70_000;
  const path = join(root, 'frag.raw');
  const file = openSync(path, 'w');
  const page = new Uint8Array(PAGE).fill(7);
  for (let at = 0; at < pages; at++) writeSync(file, page, 0, PAGE, 2 * at * PAGE);
  closeSync(file);
  const socket = join(root, 'qemu.sock');
  const server = spawn('qemu-nbd', ['-r', '-t', '-f', 'raw', '-k', socket, path]);
  try {
    await using disk = await patiently(() => openNbdDisk(`nbd+unix:///?socket=${socket}`));
    const { size } = disk.geometry;
    equal(size, (2 * pages - 1) * PAGE);
    const extents = await disk.extents(0, size);
    equal(extents.length, 2 * pages - 1);
    deepEqual(extents[1], { offset: PAGE, length: PAGE, kind: 'zero' });
    deepEqual(extents.at(-1), { offset: size - PAGE, length: PAGE, kind: 'data' });
  } finally {
    server.kill();
  }
});

test('a server with endless small extents takes a bounded amount of memory', async () => {
  const size = 2 ** 30;
  const perReply = 2 ** 17;
  const socket = join(root, 'small.sock');
  let statuses = 0;
  await using _ = await smallExtents(socket, size, () => {
    statuses++;
    return perReply;
  });
  await using disk = await openNbdDisk(`nbd+unix:///?socket=${socket}`);
  const extents = await disk.extents(0, size);
  equal(statuses, 2);
  equal(extents.length, 2 * perReply);
  deepEqual(extents.at(-1)!.kind, 'data', 'the rest is to be read');
  const last = extents.at(-1)!;
  equal(last.offset + last.length, size);
  ok(extents.every(({ offset }, index) => index === 0 || offset > extents[index - 1]!.offset));
});

async function patiently(open: () => Promise<NbdDisk>): Promise<NbdDisk> {
  for (let tries = 0; ; tries++) {
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof SystemError) || tries > 500) throw error;
      await sleep(10);
    }
  }
}

/** An NBD server by hand: of each block status it answers `count()` extents of one sector, in turn zero and data. */
async function smallExtents(
  path: string,
  size: number,
  count: () => number,
): Promise<AsyncDisposable> {
  const server = createServer((socket) => {
    let bytes = Buffer.alloc(0);
    let isGreeted = false;
    let isServing = false;
    const greeting = Buffer.alloc(18);
    greeting.write('NBDMAGICIHAVEOPT', 0, 'latin1');
    greeting.writeUInt16BE(3, 16);
    socket.write(greeting);
    socket.on('error', () => {});
    socket.on('data', (more) => {
      bytes = Buffer.concat([bytes, more]);
      if (!isGreeted && bytes.length >= 4) {
        isGreeted = true;
        bytes = bytes.subarray(4);
      }
      if (!isGreeted) return;
      while (!isServing && bytes.length >= 16) {
        const length = bytes.readUInt32BE(12);
        if (bytes.length < 16 + length) return;
        const option = bytes.readUInt32BE(8);
        bytes = bytes.subarray(16 + length);
        if (option === 10) {
          socket.write(optionReply(option, 4, Buffer.from('\0\0\0\x01base:allocation', 'latin1')));
        }
        if (option === 7) {
          const info = Buffer.alloc(12);
          info.writeBigUInt64BE(BigInt(size), 2);
          info.writeUInt16BE(1, 10);
          socket.write(optionReply(option, 3, info));
          isServing = true;
        }
        socket.write(optionReply(option, 1, Buffer.alloc(0)));
      }
      if (!isServing) return;
      while (bytes.length >= 28) {
        const command = bytes.readUInt16BE(6);
        const cookie = bytes.subarray(8, 16);
        if (command === 7) socket.write(statusChunk(cookie, count()));
        bytes = bytes.subarray(28);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { [Symbol.asyncDispose]: async () => void server.close() };
}

function optionReply(option: number, type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(0x3e889045565a9n, 0);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(type, 12);
  head.writeUInt32BE(data.length, 16);
  return Buffer.concat([head, data]);
}

function statusChunk(cookie: Uint8Array, count: number): Buffer {
  const chunk = Buffer.alloc(20 + 4 + 8 * count);
  chunk.writeUInt32BE(0x668e33ef, 0);
  chunk.writeUInt16BE(1, 4);
  chunk.writeUInt16BE(5, 6);
  chunk.set(cookie, 8);
  chunk.writeUInt32BE(chunk.length - 20, 16);
  chunk.writeUInt32BE(1, 20);
  for (let at = 0; at < count; at++) {
    chunk.writeUInt32BE(512, 24 + 8 * at);
    chunk.writeUInt32BE(at % 2 === 0 ? 3 : 0, 28 + 8 * at);
  }
  return chunk;
}
