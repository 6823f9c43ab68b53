import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import * as fc from 'fast-check';
import { test } from 'tap';
import { FormatError } from '../../../src/formats/format-error.ts';
import {
  checkFrame,
  FRAME_HEADER_LENGTH,
  FRAME_LENGTH_MAX,
  frameCodec,
  NONCE_LENGTH,
  parseFrameHeader,
} from '../../../src/formats/store/packs/frame.ts';
import { domainKeys, publicKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import {
  decodeNode,
  encodeNode,
  type NodeEntry,
  rootLevel,
} from '../../../src/formats/store/packs/node.ts';
import {
  decodeOverlayHeader,
  decodeOverlayRecord,
  encodeOverlayHeader,
  encodeOverlayRecord,
  singleRunEncoder,
} from '../../../src/formats/store/sessions/overlay-map.ts';
import {
  decodeRecentHeader,
  encodeRecentHeader,
  RECENT_HEADER_LENGTH,
} from '../../../src/formats/store/sessions/overlay-recent.ts';
import {
  decodePackEntries,
  decodePackHeader,
  decodePackTrailer,
  encodePackFooter,
  encodePackHeader,
  PACK_TRAILER_LENGTH,
} from '../../../src/formats/store/packs/pack.ts';
import { noise, pattern } from '../../support/random.ts';

const SECRET = domainKeys(pattern(32, 3));
const PUBLIC = publicKeys();
const NONCE = pattern(NONCE_LENGTH, 9);

function sealed(plain: Uint8Array, keys = SECRET): { frame: Uint8Array; digest: Uint8Array } {
  const codec = frameCodec(keys);
  const into = new Uint8Array(FRAME_LENGTH_MAX);
  const digest = codec.digest(plain);
  const length = codec.seal(plain, into, { kind: 'block', digest, nonce: NONCE });
  return { frame: into.slice(0, length), digest };
}

const plains = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 5000 }),
  fc.integer({ min: 1, max: 262_144 }).map((length) => pattern(length)),
  fc.integer({ min: 1, max: 70_000 }).map((length) => noise(length, length)),
);

for (const [name, keys] of [
  ['encrypted', SECRET],
  ['public', PUBLIC],
] as const) {
  test(`${name} frames open to what was sealed`, async () => {
    fc.assert(
      fc.property(plains, (plain) => {
        const { frame, digest } = sealed(plain, keys);
        const opened = new Uint8Array(plain.length);
        frameCodec(keys).open(frame, opened, digest);
        deepEqual(opened, plain);
        equal(checkFrame(frame).encrypted, name === 'encrypted');
      }),
      { numRuns: 40 },
    );
  });

  test(`a flipped bit anywhere in an ${name} frame is found`, async () => {
    const plain = pattern(4096);
    const { frame, digest } = sealed(plain, keys);
    const codec = frameCodec(keys);
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const damaged = frame.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      throws(() => {
        checkFrame(damaged);
        codec.open(damaged, new Uint8Array(plain.length), digest);
      }, FormatError);
    }
  });
}

test('frames leave no memory behind that waits for the garbage collector', async () => {
  const [MiB, length, count] = [2 ** 20, 256 * 1024, 64];
  const codec = frameCodec(SECRET);
  const plain = noise(length, 1);
  const digest = codec.digest(plain);
  const into = new Uint8Array(FRAME_LENGTH_MAX);
  const opened = new Uint8Array(length);
  const before = process.memoryUsage().arrayBuffers;
  for (let n = 0; n < count; n++) {
    const end = codec.seal(plain, into, { kind: 'block', digest, nonce: NONCE });
    codec.open(into.subarray(0, end), opened, digest);
  }
  const grown = process.memoryUsage().arrayBuffers - before;
  ok(grown < MiB, `${grown} bytes after ${count} frames of ${length}`);
});

test('a frame that was altered with its checksums made good fails its tag', async () => {
  const { frame, digest } = sealed(pattern(4096));
  const codec = frameCodec(SECRET);
  for (const at of [48, 60, FRAME_HEADER_LENGTH, frame.length - 1]) {
    const altered = frame.slice();
    altered[at]! ^= 1;
    const view = new DataView(altered.buffer);
    view.setUint32(72, crc32(altered.subarray(FRAME_HEADER_LENGTH)), true);
    view.setUint32(76, crc32(altered.subarray(0, 76)), true);
    checkFrame(altered);
    throws(() => codec.open(altered, new Uint8Array(4096), digest), /authentication tag/);
  }
});

test('a frame that is not encrypted and was altered with its checksums made good fails its digest', async () => {
  for (const plain of [pattern(4096), noise(4096, 1)]) {
    const { frame, digest } = sealed(plain, PUBLIC);
    const altered = frame.slice();
    altered[frame.length - 1]! ^= 1;
    const view = new DataView(altered.buffer);
    view.setUint32(72, crc32(altered.subarray(FRAME_HEADER_LENGTH)), true);
    view.setUint32(76, crc32(altered.subarray(0, 76)), true);
    checkFrame(altered);
    const message = /fail their digest|does not decompress/;
    throws(() => frameCodec(PUBLIC).open(altered, new Uint8Array(4096), digest), message);
  }
});

test('a frame of another block, key or length is refused', async () => {
  const { frame, digest } = sealed(pattern(4096));
  const other = sealed(pattern(4096, 1));
  const codec = frameCodec(SECRET);
  throws(() => codec.open(other.frame, new Uint8Array(4096), digest), /another digest/);
  throws(() => codec.open(frame, new Uint8Array(4095), digest), /holds 4096/);
  throws(() => frameCodec(PUBLIC).open(frame, new Uint8Array(4096), digest), /encryption domain/);
  const stranger = frameCodec(domainKeys(pattern(32, 4)));
  throws(() => stranger.open(frame, new Uint8Array(4096), digest), /authentication tag/);
  for (let length = 0; length < frame.length; length += 13) {
    throws(() => checkFrame(frame.subarray(0, length)), FormatError);
  }
});

test('names tell nothing without the key', async () => {
  const mine = frameCodec(SECRET).digest(pattern(4096));
  const theirs = frameCodec(domainKeys(pattern(32, 4))).digest(pattern(4096));
  ok(Buffer.compare(mine, theirs) !== 0);
  ok(Buffer.compare(mine, frameCodec(PUBLIC).digest(pattern(4096))) !== 0);
});

const entries = fc.uniqueArray(fc.integer({ min: 0, max: 255 }), { maxLength: 256 }).map((places) =>
  places
    .sort((a, b) => a - b)
    .map((at, index, all): NodeEntry => {
      const room = (all[index + 1] ?? 256) - at;
      const place = { pack: 2 ** 32 - 1 - at, offset: at * 1000, length: 80 + at };
      return { at, span: Math.min(room, 3), digest: pattern(32, at), ...place };
    }),
);

test('nodes decode to what was encoded', async () => {
  fc.assert(
    fc.property(entries, (entries) => {
      deepEqual(decodeNode(encodeNode({ level: 0, entries })), { level: 0, entries });
    }),
  );
});

test('nodes from strangers are refused or harmless', async () => {
  const whole = encodeNode({
    level: 0,
    entries: [{ at: 3, span: 2, pack: 1, offset: 2, length: 3, digest: pattern(32) }],
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: whole.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      (at, flip) => {
        const bytes = whole.slice();
        bytes[at]! ^= flip;
        onlyFormatErrors(() => {
          const { entries } = decodeNode(bytes);
          for (const { at, span } of entries) ok(at + span <= 256 && span > 0);
        });
      },
    ),
    { numRuns: 2000 },
  );
  onlyFormatErrors(() => decodeNode(whole.subarray(0, 20)));
  const tooLong = whole.slice();
  tooLong[17] = 64;
  throws(() => decodeNode(tooLong), { code: 'CORRUPT' }, 'a block of 65 pages');
  const place = { pack: 1, offset: 2, length: 3, digest: pattern(32) };
  const beyond = encodeNode({ level: 0, entries: [{ at: 255, span: 2, ...place }] });
  throws(() => decodeNode(beyond), { code: 'CORRUPT' }, 'a page behind the last one');
  for (const at of [3, 4, 2]) {
    const overlapping = [
      { at: 3, span: 2, ...place },
      { at, span: 1, ...place },
    ];
    const bytes = encodeNode({ level: 0, entries: overlapping });
    throws(() => decodeNode(bytes), { code: 'CORRUPT' }, `page ${at} is in two blocks`);
  }
});

test('the level of a root follows from the size of its disk', async () => {
  const MiB = 2 ** 20;
  deepEqual(
    [1, MiB, MiB + 1, 256 * MiB, 256 * MiB + 1, 65_536 * MiB, 8 * 2 ** 40].map(rootLevel),
    [0, 0, 1, 1, 2, 2, 3],
  );
});

test('pack headers and footers decode to what was encoded, and damage is refused', async () => {
  const header = { kind: 'node', number: 77, domain: pattern(16) } as const;
  deepEqual(decodePackHeader(encodePackHeader(header)), header);
  const entries = Array.from({ length: 9 }, (_, at) => ({
    digest: pattern(32, at),
    offset: at,
    length: 1,
  }));
  const bytes = encodePackFooter(entries, 1000);
  const trailer = decodePackTrailer(bytes.subarray(-PACK_TRAILER_LENGTH), 1000 + bytes.length);
  deepEqual(decodePackEntries(bytes.subarray(0, -PACK_TRAILER_LENGTH), trailer), entries);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at]! ^= 0x10;
    throws(() => {
      const end = decodePackTrailer(damaged.subarray(-PACK_TRAILER_LENGTH), 1000 + bytes.length);
      decodePackEntries(damaged.subarray(0, -PACK_TRAILER_LENGTH), end);
    }, FormatError);
  }
  const head = encodePackHeader(header);
  for (let at = 0; at < head.length; at++) {
    const damaged = head.slice();
    damaged[at]! ^= 1;
    throws(() => decodePackHeader(damaged), FormatError);
  }
  throws(() => decodePackTrailer(new Uint8Array(3), 3), FormatError);
  const end = bytes.subarray(-PACK_TRAILER_LENGTH);
  for (const size of [999 + bytes.length, 1001 + bytes.length]) {
    throws(() => decodePackTrailer(end, size), { code: 'CORRUPT' });
  }
});

test('overlay maps: a torn record ends the log', async () => {
  const header = { pageLength: 4096, size: 2 ** 43 + 512 };
  deepEqual(decodeOverlayHeader(encodeOverlayHeader(header)), header);
  const runs = [
    { first: 2 ** 31, count: 5, state: 'data' },
    { first: 7, count: 1, state: 'zero' },
  ] as const;
  const record = encodeOverlayRecord(runs);
  deepEqual(decodeOverlayRecord(record, 2 ** 32), { runs, length: record.length });
  for (let length = 0; length < record.length; length++) {
    equal(decodeOverlayRecord(record.subarray(0, length), 2 ** 32), undefined);
  }
  throws(() => decodeOverlayRecord(record, 100), FormatError);
});

test('recent writes: records of one run are those of the map', async () => {
  const encode = singleRunEncoder();
  for (const run of [
    { first: 2 ** 32 + 7, count: 2 ** 32 - 1, state: 'data' },
    { first: 0, count: 1, state: 'zero' },
  ] as const) {
    deepEqual(encode(run), encodeOverlayRecord([run]));
  }
});

test('recent writes: a header tells whose they are, and damage is found', async () => {
  const header = { generation: 2 ** 40 + 3, bootId: '935b226a-9621-478c-93eb-f96bbc331fea' };
  const bytes = encodeRecentHeader(header);
  equal(bytes.length, RECENT_HEADER_LENGTH);
  deepEqual(decodeRecentHeader(bytes), header);
  deepEqual(decodeRecentHeader(Buffer.concat([bytes, pattern(50)])), header);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Uint8Array.from(bytes);
    damaged[at]! ^= 1;
    throws(() => decodeRecentHeader(damaged), FormatError);
    throws(() => decodeRecentHeader(bytes.subarray(0, at)), { code: 'TRUNCATED' });
  }
  throws(() => encodeRecentHeader({ generation: 1, bootId: 'short' }), { name: 'InvariantError' });
});

test('random bytes are no frame, node, pack, map or recent writes', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const decode of [
        parseFrameHeader,
        decodeNode,
        decodePackHeader,
        decodeOverlayHeader,
        decodeRecentHeader,
        (it: Uint8Array) => decodePackTrailer(it, it.length),
        (it: Uint8Array) => decodeOverlayRecord(it, 100),
      ]) {
        onlyFormatErrors(() => decode(bytes));
      }
    }),
    { numRuns: 3000 },
  );
});

function onlyFormatErrors(work: () => unknown): void {
  try {
    work();
  } catch (cause) {
    ok(cause instanceof FormatError, String(cause));
  }
}
