import { deepEqual, equal, ok } from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import {
  COMMANDS,
  encodeOption,
  encodeString,
  OPTIONS,
  PAYLOAD_LENGTH_MAX,
  writeRequest,
} from '../../../src/formats/wire/nbd.ts';
import { serveOne } from '../../support/nbd-server.ts';
import { below, pattern, seeded } from '../../support/random.ts';
import { settled, until } from '../../support/until.ts';

const SIZE = 2 ** 20;
const FLAGS = Buffer.from([0, 0, 0, 3]);
const GO = encodeOption(OPTIONS.go, Buffer.concat([encodeString('vda'), Buffer.from([0, 0])]));
const EMPTY = new Uint8Array(0);

function request(command: number, offset: number, length: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(28);
  writeRequest(new DataView(bytes.buffer), 0, {
    command,
    flags,
    offset,
    length,
    cookieLow: offset,
  });
  return bytes;
}

/** As a client of each style would speak. */
function conversation(random: () => number): Uint8Array[] {
  const style = below(random, 4);
  const parts: Uint8Array[] = [FLAGS];
  if (random() < 0.3) parts.push(encodeOption(OPTIONS.list, EMPTY));
  if (style === 1) parts.push(encodeOption(OPTIONS.structuredReply, EMPTY));
  if (style === 2) parts.push(encodeOption(OPTIONS.extendedHeaders, EMPTY));
  if (style > 0 && random() < 0.7) {
    const query = Buffer.concat([Buffer.from([0, 0, 0, 1]), encodeString('base:allocation')]);
    parts.push(encodeOption(OPTIONS.setMetaContext, Buffer.concat([encodeString('vda'), query])));
  }
  parts.push(style === 3 ? encodeOption(OPTIONS.exportName, Buffer.from('vda')) : GO);
  for (let n = below(random, 30); n > 0; n--) {
    const command = below(random, 9);
    const length = below(random, 9000);
    parts.push(request(command, below(random, SIZE), length, below(random, 40)));
    if (command === COMMANDS.write) parts.push(pattern(length));
  }
  return parts;
}

function mutate(parts: Uint8Array[], random: () => number): Uint8Array {
  const bytes = Buffer.concat(parts);
  for (let n = below(random, 6); n > 0; n--) {
    const at = below(random, bytes.length);
    const kind = below(random, 3);
    if (kind === 0) bytes[at] = below(random, 256);
    else if (kind === 1) bytes.fill(0xff, at, Math.min(at + 8, bytes.length));
    else bytes.copy(bytes, at, below(random, bytes.length));
  }
  return random() < 0.3 ? bytes.subarray(0, below(random, bytes.length)) : bytes;
}

/** Sends all, in pieces, and answers what came back once the peer is done or nothing more comes. */
function send(socket: string, bytes: Uint8Array, random: () => number): Promise<number> {
  return new Promise((resolve) => {
    let received = 0;
    const peer = connect(socket);
    peer.on('data', (data) => (received += data.length));
    peer.on('error', () => {});
    peer.on('close', () => resolve(received));
    peer.on('connect', () => {
      for (let at = 0; at < bytes.length; ) {
        const count = 1 + below(random, random() < 0.5 ? 40 : 5000);
        peer.write(bytes.subarray(at, at + count));
        at += count;
      }
      peer.end();
    });
  });
}

const seed = Number(process.env['SEED'] ?? 1);
const sessions = Number(process.env['SESSIONS'] ?? 3000);

test(`${sessions} mutated sessions end their own connection at most (SEED=${seed})`, async () => {
  await using server = await serveOne(memoryDevice(new Uint8Array(SIZE)));
  const random = seeded(seed);
  await using watcher = await openNbdDisk(server.uri);
  const one = async (): Promise<void> => {
    await send(server.socket, mutate(conversation(random), random), random);
  };
  for (let n = 0; n < sessions; n += 20) {
    await Promise.all(Array.from({ length: 20 }, one));
    if (n % 200 === 0) await watcher.read(new Uint8Array(4096), 0);
  }
  await watcher.read(new Uint8Array(4096), 0);
  const { heapUsed, external } = process.memoryUsage();
  ok(heapUsed + external < 300 * 2 ** 20, `${heapUsed} heap, ${external} external`);
});

/** A connection after the handshake, and what it received since. */
async function connected(
  path: string,
  options: Uint8Array[],
): Promise<{ socket: Socket; got: () => Buffer }> {
  const parts: Buffer[] = [];
  const socket = connect(path);
  socket.on('data', (data: Buffer) => parts.push(data));
  socket.write(Buffer.concat([FLAGS, ...options]));
  await until('the handshake', () => Buffer.concat(parts).length > 18);
  await settled(() => Buffer.concat(parts).length);
  parts.length = 0;
  return { socket, got: () => Buffer.concat(parts) };
}

test('offsets up to 2^64-1 are refused and echoed as they came', async () => {
  await using server = await serveOne(memoryDevice(new Uint8Array(SIZE)));
  const { socket, got } = await connected(server.socket, [
    encodeOption(OPTIONS.extendedHeaders, EMPTY),
    GO,
  ]);
  const header = Buffer.alloc(32, 0xff);
  header.writeUInt32BE(0x21e41c71, 0);
  header.writeUInt16BE(0, 4);
  header.writeUInt16BE(COMMANDS.read, 6);
  socket.write(header);
  await until('the reply', () => got().length >= 32 + 6);
  const reply = got();
  equal(reply.readUInt32BE(0), 0x6e8a278c);
  equal(reply.readUInt16BE(6), 0x8001);
  deepEqual(reply.subarray(8, 24), Buffer.alloc(16, 0xff));
  equal(reply.readUInt32BE(32), 22);
  socket.destroy();
});

test('simple clients: EXPORT_NAME has its zeroes, replies are simple', async () => {
  await using server = await serveOne(memoryDevice(pattern(SIZE)));
  const parts: Buffer[] = [];
  const socket = connect(server.socket);
  socket.on('data', (data: Buffer) => parts.push(data));
  socket.write(Buffer.from([0, 0, 0, 1]));
  socket.write(encodeOption(OPTIONS.exportName, Buffer.from('vda')));
  const all = () => Buffer.concat(parts);
  await until('the handshake', () => all().length >= 18 + 10 + 124);
  equal(all().readBigUInt64BE(18), BigInt(SIZE));
  ok(
    all()
      .subarray(28, 152)
      .every((byte) => byte === 0),
  );
  socket.write(request(COMMANDS.read, 4096, 100));
  await until('the reply', () => all().length >= 152 + 16 + 100);
  equal(all().readUInt32BE(152), 0x67446698);
  equal(all().readUInt32BE(156), 0);
  deepEqual(Uint8Array.from(all().subarray(168, 268)), pattern(SIZE).subarray(4096, 4196));
  socket.destroy();
});

test('a peer that asks and never reads holds a bounded amount of memory', async () => {
  await using server = await serveOne(memoryDevice(new Uint8Array(SIZE)));
  const socket = connect(server.socket);
  socket.pause();
  socket.write(Buffer.concat([FLAGS, GO]));
  const many = Buffer.concat(Array.from({ length: 1000 }, () => request(COMMANDS.read, 0, SIZE)));
  for (let n = 0; n < 20; n++) socket.write(many);
  await settled(() => process.memoryUsage().arrayBuffers);
  const { external, arrayBuffers } = process.memoryUsage();
  ok(external + arrayBuffers < 150 * 2 ** 20, `${external} external, ${arrayBuffers} in buffers`);
  await using other = await openNbdDisk(server.uri);
  await other.read(new Uint8Array(4096), 0);
  socket.destroy();
});

test('payloads of refused writes are read past, not kept', async () => {
  await using server = await serveOne(memoryDevice(new Uint8Array(SIZE)), { readOnly: true });
  const { socket, got } = await connected(server.socket, [GO]);
  socket.write(request(COMMANDS.write, 0, 70_000));
  socket.write(pattern(70_000));
  socket.write(request(COMMANDS.read, 0, 8));
  await until('both replies', () => got().length >= 16 + 16 + 8);
  equal(got().readUInt32BE(4), 1);
  equal(got().readUInt32BE(20), 0);
  socket.destroy();
});

test('a write longer than the largest payload ends its connection before its bytes come', async () => {
  await using server = await serveOne(memoryDevice(new Uint8Array(SIZE)));
  const largest = await connected(server.socket, [GO]);
  largest.socket.write(request(COMMANDS.write, 0, PAYLOAD_LENGTH_MAX));
  const larger = await connected(server.socket, [GO]);
  larger.socket.write(request(COMMANDS.write, 0, PAYLOAD_LENGTH_MAX + 1));
  await until(
    'the end of the connection',
    () => server.export.clients.length === 1 && larger.socket.readableEnded,
  );
  equal(larger.got().length, 0);
  equal(largest.socket.readableEnded, false);
  largest.socket.destroy();
});

test('a client that disappears in the middle of its write changes nothing', async () => {
  const contents = new Uint8Array(SIZE);
  await using server = await serveOne(memoryDevice(contents));
  const { socket } = await connected(server.socket, [GO]);
  socket.write(request(COMMANDS.write, 0, 70_000));
  socket.write(pattern(30_000));
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
  await until('the end of the connection', () => server.export.clients.length === 0);
  ok(contents.every((byte) => byte === 0));
});
