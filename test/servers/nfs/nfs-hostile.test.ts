import { connect, type ByteStream } from '../../../src/sys/net/network.ts';
import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { PROCEDURES } from '../../../src/formats/wire/nfs3.ts';
import { recordMark } from '../../../src/formats/wire/rpc.ts';
import { rpcClient } from '../../support/nfs-client.ts';
import { type NfsServer, serveSession } from '../../support/nfs-server.ts';
import { below, noise, seeded } from '../../support/random.ts';
import { settled } from '../../support/until.ts';

// Whatever a peer sends ends at most its own connection, and holds a bounded amount of memory.
const SEED = Number(process.env['SEED'] ?? 1);
const CALLS = 3000;

function marked(record: Uint8Array): Buffer {
  const mark = Buffer.alloc(4);
  mark.writeUInt32BE(recordMark(record.length));
  return Buffer.concat([mark, record]);
}

/** A call with AUTH_NONE, or AUTH_SYS as root. */
function call(words: readonly number[], args: Uint8Array): Buffer {
  const head = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => head.writeUInt32BE(word >>> 0, index * 4));
  return Buffer.concat([head, args]);
}

function opaque(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

async function stillServes({ target }: NfsServer): Promise<void> {
  await using client = await rpcClient(target.ports.nfs);
  equal((await client.mount('/holdfast/vm-1')).status, 0);
}

async function streamTo({ target }: NfsServer): Promise<ByteStream> {
  const stream = await connect({ kind: 'tcp', host: '127.0.0.1', port: target.ports.nfs });
  stream.start();
  return stream;
}

test(`${CALLS} mutated calls of every procedure end their own connection at most (SEED=${SEED})`, async () => {
  await using server = await serveSession();
  await using client = await rpcClient(server.target.ports.nfs);
  const { handle } = await client.mount('/holdfast/vm-1');
  const random = seeded(SEED);
  let stream = await streamTo(server);
  let isClosed = false;
  let answered = 0;
  const watch = (): void => {
    isClosed = false;
    stream.onClose = () => (isClosed = true);
    stream.onBytes = () => answered++;
  };
  watch();
  for (let n = 0; n < CALLS; n++) {
    const program = [100_003, 100_003, 100_003, 100_005, 100_021, 100_000][below(random, 6)]!;
    const procedure = below(random, program === 100_003 ? PROCEDURES.length + 1 : 25);
    const header = [
      n,
      0,
      2,
      program,
      { 100_003: 3, 100_005: 3, 100_021: 4, 100_000: 2 }[program]!,
      procedure,
    ];
    const root = [1, 20, 0, 0, 0, 0, 0, 0, 0];
    const args = Buffer.concat([
      opaque(handle),
      opaque(Buffer.from(['vda.raw', 'vm.vmx', 'x', '..', ''][below(random, 5)]!)),
      Buffer.from(noise(below(random, 200), n)),
    ]);
    const record = call([...header, ...root], args);
    for (let m = below(random, 4); m > 0; m--)
      record[below(random, record.length)] = below(random, 256);
    const bytes = marked(
      record.subarray(0, below(random, 20) === 0 ? below(random, record.length) : record.length),
    );
    if (below(random, 100) === 0) bytes[below(random, 4)] = below(random, 256);
    stream.write(bytes);
    if (n % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    // A record that claims to be long swallows what follows.
    if (isClosed || n % 40 === 0) {
      stream.destroy();
      stream = await streamTo(server);
      watch();
    }
    if (n % 500 === 499) await stillServes(server);
  }
  ok(answered > 100, `${answered} answers`);
  stream.destroy();
  await stillServes(server);
});

test('records that lie about their length hold no memory', async () => {
  await using server = await serveSession();
  const before = process.memoryUsage().arrayBuffers;
  const streams: ByteStream[] = [];
  for (let n = 0; n < 100; n++) {
    const stream = await streamTo(server);
    const mark = Buffer.alloc(4);
    // As long as may be, and nothing of it comes.
    mark.writeUInt32BE(recordMark(1024 * 1024));
    stream.write(Buffer.concat([mark, Buffer.alloc(40)]));
    streams.push(stream);
  }
  await settled(() => process.memoryUsage().arrayBuffers);
  const held = process.memoryUsage().arrayBuffers - before;
  // Two buffers of 256 KiB for each connection, and little more.
  ok(held < 100 * 700_000, `${held} bytes`);
  await stillServes(server);
  for (const stream of streams) stream.destroy();

  for (const mark of [0xffff_ffff, 0x7fff_ffff, 0x8020_0000]) {
    const stream = await streamTo(server);
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    stream.onClose = () => resolve();
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(mark);
    stream.write(bytes);
    await closed;
  }
  // Fragments without end.
  const stream = await streamTo(server);
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  stream.onClose = () => resolve();
  stream.write(Buffer.alloc(4096));
  await closed;
});

test('a peer that asks and never reads holds a bounded amount of memory', async () => {
  const size = 64 * 2 ** 20;
  await using server = await serveSession({ device: memoryDevice(new Uint8Array(size)) });
  await using client = await rpcClient(server.target.ports.nfs);
  const { handle } = await client.mount('/holdfast/vm-1');
  const { results } = await client.nfs('lookup', (to) => {
    to.opaque(handle);
    to.text('vda.raw');
  });
  const disk = results.opaque(64).slice();
  const stream = await connect({ kind: 'tcp', host: '127.0.0.1', port: server.target.ports.nfs });
  const before = process.memoryUsage().rss;
  for (let n = 0; n < 2000; n++) {
    const place = Buffer.alloc(12);
    place.writeUInt32BE((n % 60) * 2 ** 20, 4);
    place.writeUInt32BE(2 ** 20, 8);
    const header = [n, 0, 2, 100_003, 3, 6, 1, 20, 0, 0, 0, 0, 0, 0, 0];
    stream.write(marked(call(header, Buffer.concat([opaque(disk), place]))));
  }
  await settled(() => process.memoryUsage().arrayBuffers);
  const grown = process.memoryUsage().rss - before;
  ok(grown < 64 * 2 ** 20, `${Math.round(grown / 2 ** 20)} MiB`);
  await stillServes(server);
  stream.destroy();
});

test('ten thousand connections: most are ended, and those that are served go on', async () => {
  await using server = await serveSession();
  await using client = await rpcClient(server.target.ports.nfs);
  equal((await client.mount('/holdfast/vm-1')).status, 0);
  const streams: ByteStream[] = [];
  for (let n = 0; n < 10_000; n++) streams.push(await streamTo(server));
  equal((await client.mount('/holdfast/vm-1')).status, 0);
  for (const stream of streams) stream.destroy();
  await stillServes(server);
});
