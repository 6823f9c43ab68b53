import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { writeLayer } from '../../../src/block/layer.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import { BlockError } from '../../../src/block/block-error.ts';
import { sessionDisk } from '../../../src/sessions/views/session-disk.ts';
import { serveOne } from '../../support/nbd-server.ts';

const SIZE = 64 * 1024;

test('a request that the server refuses costs no connection', async () => {
  const memory = memoryDevice(new Uint8Array(SIZE).fill(7));
  const full = writeLayer('full', memory.geometry, {
    read: (into, offset) => memory.read(into, offset),
    async write() {
      throw new BlockError('NO_SPACE', 'it is full');
    },
    async flush() {},
  });
  await using server = await serveOne(full);
  await using disk = sessionDisk(server.uri, SIZE);
  for (let tries = 0; tries < 5; tries++) {
    await rejects(disk.write(new Uint8Array(4096), 0, 'cached'), { code: 'NO_SPACE' });
  }
  const into = new Uint8Array(4096);
  await disk.read(into, 0);
  deepEqual(into, new Uint8Array(4096).fill(7));
  equal(server.export.clients.length, 1);
});

test('a server that was started again is found again, by all who ask at once', async () => {
  const memory = memoryDevice(new Uint8Array(SIZE).fill(7));
  const first = await serveOne(memory);
  await using disk = sessionDisk(first.uri, SIZE);
  await disk.read(new Uint8Array(4096), 0);
  await first[Symbol.asyncDispose]();
  await rejects(disk.read(new Uint8Array(4096), 0));
  await using second = await serveOne(memory, { socket: first.socket });
  const reads = Array.from({ length: 4 }, (_, index) => disk.read(new Uint8Array(4096), index));
  await Promise.all(reads);
  equal(second.export.clients.length, 1);
});
