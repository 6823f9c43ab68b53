import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import type { BlockError } from '../../../src/block/block-error.ts';
import { openNbdDisk } from '../../../src/block/nbd-client/nbd-disk.ts';
import { CHUNKS, COMMANDS, encodeOptionReply, OPTIONS } from '../../../src/formats/wire/nbd.ts';
import { all } from '../../support/all.ts';
import {
  chunk,
  contextReply,
  extents,
  fakeNbdServer,
  type NbdScript,
  usual,
} from '../../support/fake-nbd-server.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const root = temporaryDirectory();
const MiB = 2 ** 20;
const { blockStatus, offsetData, offsetHole, error, none } = CHUNKS;
const EMPTY = new Uint8Array(0);
let count = 0;

async function served(script: NbdScript) {
  const socket = join(root, `${count++}.sock`);
  const server = await fakeNbdServer(socket, script);
  return {
    uri: `nbd+unix:///vda?socket=${socket}`,
    [Symbol.asyncDispose]: server[Symbol.asyncDispose],
  };
}

/** A disk of 1 MiB whose server answers every request so. */
function answering(request: NonNullable<NbdScript['request']>) {
  return served({
    option: usual(MiB, { 'base:allocation': 1, 'qemu:dirty-bitmap:b': 2 }),
    request,
  });
}

function data(offset: number, bytes: Uint8Array): Buffer {
  const at = Buffer.alloc(8);
  at.writeBigUInt64BE(BigInt(offset));
  return Buffer.concat([at, bytes]);
}

const hole = (offset: number, length: number): Buffer => {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(length);
  return data(offset, size);
};

test('a server with endless small extents takes a bounded amount of memory', async () => {
  const size = 2 ** 30;
  const perReply = 2 ** 17;
  let statuses = 0;
  await using server = await served({
    option: usual(size),
    request({ cookie }) {
      statuses++;
      const sectors = Array.from(
        { length: perReply },
        (_, at) => [512, at % 2 === 0 ? 3 : 0] as const,
      );
      return chunk(cookie, blockStatus, extents(1, sectors));
    },
  });
  await using disk = await openNbdDisk(server.uri);
  const found = await disk.extents(0, size);
  equal(statuses, 2);
  equal(found.length, 2 * perReply);
  deepEqual(found.at(-1)!.kind, 'data', 'the rest is to be read');
  const last = found.at(-1)!;
  equal(last.offset + last.length, size);
  ok(found.every(({ offset }, index) => index === 0 || offset > found[index - 1]!.offset));
});

test('one small extent in each reply does not go on for ever', async () => {
  let statuses = 0;
  await using server = await served({
    option: usual(2 ** 40, { 'base:allocation': 1, 'qemu:dirty-bitmap:b': 2 }),
    request({ cookie }) {
      statuses++;
      const part = { isLast: false };
      return Buffer.concat([
        chunk(cookie, blockStatus, extents(1, [[1, 0]]), part),
        chunk(cookie, blockStatus, extents(2, [[1, 0]])),
      ]);
    },
  });
  await using disk = await openNbdDisk(server.uri, { bitmaps: ['b'] });
  const found = await disk.extents(0, 2 ** 40);
  deepEqual(found, [{ offset: 0, length: 2 ** 40, kind: 'data' }]);
  ok(statuses < 5000, `${statuses}`);
  statuses = 0;
  for await (const { offset, length } of disk.dirtyRanges('b')) {
    ok(
      offset < 5000 && offset + length === 2 ** 31,
      'the rest of the part that was asked has changed',
    );
    break;
  }
  ok(statuses < 10_000, `${statuses}`);
});

test('extents that add up to more than was asked count up to there', async () => {
  await using server = await answering(({ cookie }) =>
    Buffer.concat([
      chunk(
        cookie,
        blockStatus,
        extents(1, [
          [4096, 0],
          [2 ** 32 - 1, 3],
          [4096, 0],
        ]),
        { isLast: false },
      ),
      chunk(
        cookie,
        blockStatus,
        extents(2, [
          [8192, 1],
          [2 ** 32 - 1, 0],
          [4096, 1],
        ]),
      ),
    ]),
  );
  await using disk = await openNbdDisk(server.uri, { bitmaps: ['b'] });
  deepEqual(await disk.extents(0, 16_384), [
    { offset: 0, length: 4096, kind: 'data' },
    { offset: 4096, length: 12_288, kind: 'zero' },
  ]);
  deepEqual(await all(disk.dirtyRanges('b')), [{ offset: 0, length: 8192 }]);
});

test('a server that violates the protocol is given up, and the message names the export', async () => {
  const part = { isLast: false };
  const some = new Uint8Array(4096);
  const sound = extents(1, [[4096, 0]]);
  const cases: readonly (readonly [
    string,
    'read' | 'extents',
    RegExp,
    (cookie: number) => Buffer,
  ])[] = [
    [
      'a context that was not chosen',
      'extents',
      /context 7/,
      (it) => chunk(it, blockStatus, extents(7, [[4096, 0]])),
    ],
    [
      'one context twice',
      'extents',
      /context 1/,
      (it) => Buffer.concat([chunk(it, blockStatus, sound, part), chunk(it, blockStatus, sound)]),
    ],
    [
      'an empty extent',
      'extents',
      /list of extents/,
      (it) =>
        chunk(
          it,
          blockStatus,
          extents(1, [
            [4096, 0],
            [0, 3],
          ]),
        ),
    ],
    ['no extents', 'extents', /list of extents/, (it) => chunk(it, blockStatus, extents(1, []))],
    [
      'half an extent',
      'extents',
      /list of extents/,
      (it) => chunk(it, blockStatus, sound.subarray(0, 8)),
    ],
    [
      'less than a context',
      'extents',
      /list of extents/,
      (it) => chunk(it, blockStatus, some.subarray(0, 2)),
    ],
    [
      'a length that lies',
      'extents',
      /too long/,
      (it) => chunk(it, blockStatus, sound, { length: 2 ** 32 - 1 }),
    ],
    [
      'only another context',
      'extents',
      /did not return a block status/,
      (it) => chunk(it, blockStatus, extents(2, [[4096, 0]])),
    ],
    [
      'no status at all',
      'extents',
      /did not return a block status/,
      (it) => chunk(it, none, EMPTY),
    ],
    ['a status for a read', 'read', /no request asked for/, (it) => chunk(it, blockStatus, sound)],
    [
      'data for a status',
      'extents',
      /no request asked for/,
      (it) => chunk(it, offsetData, data(0, some)),
    ],
    [
      'data beyond the request',
      'read',
      /no request asked for/,
      (it) => chunk(it, offsetData, data(4096, some)),
    ],
    [
      'no data',
      'read',
      /no request asked for/,
      (it) => chunk(it, offsetData, data(0, EMPTY), part),
    ],
    [
      'data twice',
      'read',
      /no request asked for/,
      (it) =>
        Buffer.concat([
          chunk(it, offsetData, data(0, some), part),
          chunk(it, offsetData, data(0, some)),
        ]),
    ],
    [
      'a hole beyond the request',
      'read',
      /hole that is too long/,
      (it) => chunk(it, offsetHole, hole(0, 2 ** 31)),
    ],
    [
      'an empty hole',
      'read',
      /no request asked for/,
      (it) => chunk(it, offsetHole, hole(0, 0), part),
    ],
    [
      'half of the data',
      'read',
      /omitted/,
      (it) => chunk(it, offsetData, data(0, some.subarray(0, 512))),
    ],
    [
      'a chunk without a meaning',
      'read',
      /without a meaning/,
      (it) => chunk(it, none, EMPTY, part),
    ],
    ['an unknown chunk', 'read', /unknown type/, (it) => chunk(it, 99, EMPTY, part)],
    [
      'errors without end',
      'read',
      /too many errors/,
      (it) =>
        Buffer.concat(Array.from({ length: 20 }, () => chunk(it, error, Buffer.alloc(6), part))),
    ],
    ['another request', 'read', /no request/, (it) => chunk(it + 1, none, EMPTY)],
    ['not a reply', 'read', /violated the protocol/, () => Buffer.alloc(20, 'x')],
  ];
  for (const [name, kind, message, answer] of cases) {
    await using server = await answering(({ cookie, command }) =>
      command === COMMANDS.disconnect ? undefined : answer(cookie),
    );
    await using disk = await openNbdDisk(server.uri, { bitmaps: ['b'] });
    const asked = kind === 'read' ? disk.read(new Uint8Array(4096), 0) : disk.extents(0, 4096);
    await rejects(asked, (cause: BlockError) => {
      equal(cause.code, 'IO', name);
      match(cause.message, message, name);
      ok(cause.message.startsWith(server.uri), name);
      return true;
    });
  }
});

test('what a server says of an error is one line that no terminal obeys', async () => {
  const said = Buffer.concat([Buffer.from([0, 0, 0, 5, 0, 9]), Buffer.from('a\n\u001b[2Jb')]);
  await using server = await answering(({ cookie }) => chunk(cookie, error, said));
  await using disk = await openNbdDisk(server.uri);
  await rejects(disk.read(new Uint8Array(512), 512), {
    message: /failed at 512\+512: a\?\?\[2Jb$/,
  });
});

test('a connection that is cut in a read names the export and what to do', async () => {
  await using server = await answering((_, socket) => void socket.end());
  await using disk = await openNbdDisk(server.uri);
  await rejects(disk.read(new Uint8Array(4096), 0), ({ code, message }: BlockError) => {
    equal(code, 'IO');
    ok(message.startsWith(server.uri));
    match(message, /ended the connection: check that it still runs/);
    return true;
  });
  ok(disk.isGone);
});

test('a signal ends a request that nothing answers, and a handshake', async () => {
  await using server = await answering(() => undefined);
  const read = new AbortController();
  await using disk = await openNbdDisk(server.uri, { signal: read.signal });
  const reading = disk.read(new Uint8Array(4096), 0);
  read.abort(new Error('canceled'));
  await rejects(reading, { message: 'canceled' });

  const open = new AbortController();
  await using mute = await served({ option: () => ({ bytes: EMPTY }) });
  const opening = openNbdDisk(mute.uri, { signal: open.signal });
  setTimeout(() => open.abort(new Error('enough')), 50);
  await rejects(opening, { message: 'enough' });
});

test('an answer to an option that does not end, or that was not asked, is given up', async () => {
  const reply = (option: number, length: number) =>
    encodeOptionReply(option, 3, new Uint8Array(length));
  const contexts =
    (...list: readonly (readonly [string, number])[]): NbdScript['option'] =>
    (option, asked) => {
      const { bytes, next } = usual(MiB, {})(option, asked);
      if (option !== OPTIONS.setMetaContext) return { bytes, ...(next && { next }) };
      return { bytes: Buffer.concat([...list.map((it) => contextReply(option, ...it)), bytes]) };
    };
  const cases: readonly NbdScript['option'][] = [
    (option) => ({ bytes: Buffer.concat(Array.from({ length: 60_000 }, () => reply(option, 0))) }),
    (option) => ({
      bytes: Buffer.concat(Array.from({ length: 200 }, () => reply(option, 65_536))),
    }),
    (option) => ({ bytes: reply(option + 1, 0) }),
    contexts(['base:allocation', 1], ['qemu:allocation-depth', 2]),
    contexts(['base:allocation', 1], ['qemu:dirty-bitmap:b', 1]),
  ];
  for (const option of cases) {
    await using server = await served({ option });
    await rejects(openNbdDisk(server.uri, { bitmaps: ['b'] }), {
      code: 'IO',
      message: /violates the protocol/,
    });
  }
});
