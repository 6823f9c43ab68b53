import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import * as fc from 'fast-check';
import { test } from 'tap';
import { FormatError } from '../../../../src/formats/format-error.ts';
import {
  encodeBirth,
  encodeFreed,
  encodeZeros,
} from '../../../../src/formats/store/sessions/overlay-bodies.ts';
import { encodeSummary } from '../../../../src/formats/store/sessions/overlay-summary.ts';
import { domainKeys, publicKeys } from '../../../../src/formats/store/catalog/key-slot.ts';
import { segmentKey, summaryKey } from '../../../../src/formats/store/sessions/overlay-key.ts';
import {
  decodeHead,
  decodePreface,
  encodeHead,
  encodePreface,
  type NewSlot,
  PAGE_LENGTH,
  PLACE_LENGTH,
  QUAD_LENGTH,
  readTrailer,
  type SlotSealer,
  slotCodec,
  type Suite,
  TRAILER_LENGTH,
} from '../../../../src/formats/store/sessions/overlay-log.ts';
import { pageSealer } from '../../../../src/sys/crypto/page-sealer.ts';
import {
  codecOf,
  DATA_KEY,
  DURABLE,
  exampleTable,
  HEAD,
  LOG,
  MARK,
  OVERLAY_ID,
  PAGE,
  QUAD,
  record,
  SALT,
  sealed,
  SEGMENT,
  sealerOf,
  SUITES,
  withSalts,
} from '../../../support/overlay-slots.ts';
import { pattern } from '../../../support/random.ts';

const corrupt = { name: 'FormatError', code: 'CORRUPT' } as const;

/** The slot as any who has the key can make it, whatever its fields say. */
function forged(
  sealer: SlotSealer,
  { place, body, fields }: { place: number; body: Uint8Array; fields: (view: DataView) => void },
): Uint8Array {
  const n = body.length / PAGE_LENGTH;
  const bytes = sealed(
    slotCodec(sealer),
    { place, kind: 'pages', page: 1, durable: DURABLE },
    body,
  );
  const trailer = bytes.subarray(body.length, body.length + TRAILER_LENGTH);
  const view = new DataView(trailer.buffer, trailer.byteOffset, TRAILER_LENGTH);
  fields(view);
  view.setUint32(32, crc32(trailer.subarray(16, 32)), true);
  const iv = new Uint8Array(12);
  new DataView(iv.buffer).setUint32(0, place, true);
  new DataView(iv.buffer).setUint32(4, n, true);
  sealer.seal(iv, trailer.subarray(16, 36), body, bytes, trailer.subarray(0, 16));
  return bytes;
}

const digest = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 32);
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('a head and a preface are decoded as they were encoded', async () => {
  fc.assert(
    fc.property(
      record({
        suite: fc.constantFrom(...SUITES),
        size: fc.maxSafeNat(),
        overlayId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
        places: fc.integer({ min: 8, max: 16_384 }),
      }),
      (head) => deepEqual(decodeHead(encodeHead(head)), head),
    ),
  );
  fc.assert(
    fc.property(
      record({
        of: fc.constantFrom('segment' as const, 'summary' as const),
        suite: fc.constantFrom(...SUITES),
        number: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        salt: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      }),
      (preface) => deepEqual(decodePreface(encodePreface(preface)), preface),
    ),
  );
});

test('a head and a preface with any byte altered are refused', async () => {
  for (const { bytes, decode } of [
    { bytes: encodeHead(HEAD), decode: decodeHead },
    {
      bytes: encodePreface({ of: 'segment', suite: 2, number: 7, salt: SALT }),
      decode: decodePreface,
    },
  ]) {
    for (let at = 0; at < bytes.length; at++) {
      const altered = Uint8Array.from(bytes);
      altered[at]! ^= 1 << (at % 8);
      throws(() => decode(altered), FormatError, `byte ${at}`);
    }
    throws(() => decode(bytes.subarray(0, -1)), { code: 'TRUNCATED' });
  }
  throws(() => decodeHead(Uint8Array.of(...encodeHead(HEAD), 0)), corrupt);
});

test('an unknown version, an unknown suite and another kind of file are named', async () => {
  const head = encodeHead(HEAD);
  const preface = encodePreface({ of: 'segment', suite: 1, number: 7, salt: SALT });
  const cases = [
    { bytes: head, crcAt: 40, decode: decodeHead },
    { bytes: preface, crcAt: 44, decode: decodePreface },
  ];
  for (const { bytes, crcAt, decode } of cases) {
    const withByte = (at: number, value: number): Uint8Array => {
      const altered = Uint8Array.from(bytes);
      altered[at] = value;
      new DataView(altered.buffer).setUint32(crcAt, crc32(altered.subarray(0, crcAt)), true);
      return altered;
    };
    throws(() => decode(withByte(4, 9)), { code: 'UNSUPPORTED', message: /version 9/ });
    throws(() => decode(withByte(5, 3)), { code: 'UNSUPPORTED', message: /suite 3/ });
    throws(() => decode(withByte(0, 0)), { code: 'BAD_MAGIC' });
  }
  throws(() => decodeHead(preface), { code: 'BAD_MAGIC' });
});

test('a head of pages, places or a size that cannot be is refused', async () => {
  const { fields, decode } = { fields: [8, 12, 12, 20], decode: decodeHead };
  const values = [512, 7, 16_385, 2 ** 21];
  fields.forEach((at, index) => {
    const altered = encodeHead(HEAD);
    const view = new DataView(altered.buffer);
    view.setUint32(at, values[index]!, true);
    view.setUint32(40, crc32(altered.subarray(0, 40)), true);
    throws(() => decode(altered), corrupt, `byte ${at}`);
  });
});

for (const suite of SUITES) {
  test(`slots are opened as they were sealed, single ones and quads: suite ${suite}`, async () => {
    const codec = codecOf(suite);
    fc.assert(
      fc.property(
        record({
          place: fc.nat(4095),
          isQuad: fc.boolean(),
          page: fc.integer({ min: 0, max: 2 ** 48 - 4 }),
          segment: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
          durablePlace: fc.nat(16_384),
        }),
        ({ place: nth, isQuad, page, segment, durablePlace }) => {
          const place = isQuad ? 1 + 4 * nth : nth + 1;
          const body = isQuad ? QUAD : PAGE;
          const slot = { kind: 'pages', page, durable: { segment, place: durablePlace } } as const;
          const bytes = sealed(codec, { place, ...slot }, body);
          const into = new Uint8Array(body.length);
          const expected = { ...slot, n: isQuad ? 4 : 1 };
          deepEqual(codec.open(bytes, place, into), expected);
          deepEqual(into, body);
          deepEqual(readTrailer(bytes, body.length), expected);
          equal(Buffer.compare(bytes.subarray(0, body.length), body) === 0, suite === 1);
        },
      ),
    );
  });

  test(`a slot with any byte altered does not open: suite ${suite}`, async () => {
    const codec = codecOf(suite);
    for (const body of [PAGE, QUAD]) {
      const bytes = sealed(codec, { place: 5, kind: 'pages', page: 9, durable: DURABLE }, body);
      const into = new Uint8Array(body.length);
      // Each byte of the trailer and what follows it; a sample of the body.
      for (let at = 0; at < bytes.length; at += at < body.length - 64 ? 61 : 1) {
        bytes[at]! ^= 1 << (at % 8);
        equal(codec.open(bytes, 5, into), undefined, `byte ${at}`);
        bytes[at]! ^= 1 << (at % 8);
      }
      ok(codec.open(bytes, 5, into));
      equal(codec.open(bytes.subarray(0, -1), 5, into), undefined);
      // Without the key the tag is not looked at.
      for (let at = body.length + 16; at < body.length + 36; at++) {
        bytes[at]! ^= 1 << (at % 8);
        equal(readTrailer(bytes, body.length), undefined, `byte ${at}`);
        bytes[at]! ^= 1 << (at % 8);
      }
      equal(readTrailer(bytes, body.length)?.page, 9);
      // Nor does one whose checksum fits what was altered.
      for (let at = 16; at < 32; at++) {
        const altered = bytes.slice();
        const trailer = new DataView(altered.buffer, body.length);
        trailer.setUint8(at, trailer.getUint8(at) ^ (1 << (at % 8)));
        trailer.setUint32(32, crc32(altered.subarray(body.length + 16, body.length + 32)), true);
        equal(codec.open(altered, 5, into), undefined, `byte ${at} of the trailer`);
      }
    }
  });

  test(`a slot opens only at its place, as what it is, under its key: suite ${suite}`, async () => {
    const codec = codecOf(suite);
    const slot = { place: 5, kind: 'pages', page: 9, durable: DURABLE } as const;
    const into = new Uint8Array(PAGE_LENGTH);
    const single = sealed(codec, slot, PAGE);
    const quad = sealed(codec, slot, QUAD);
    for (const place of [1, 4, 6, 9]) equal(codec.open(single, place, into), undefined);
    for (const place of [1, 9]) {
      equal(codec.open(quad, place, new Uint8Array(QUAD_LENGTH)), undefined);
    }
    equal(codec.open(quad, 5, into), undefined);
    const four = new Uint8Array(4 * PLACE_LENGTH);
    four.set(single);
    equal(codec.open(four, 5, new Uint8Array(QUAD_LENGTH)), undefined);
    const key = domainKeys(DATA_KEY).overlay;
    const other = [
      segmentKey(publicKeys().overlay, LOG, SEGMENT),
      segmentKey(key, LOG, { number: 7, salt: SALT.toReversed() }),
      segmentKey(key, LOG, { number: 8, salt: SALT }),
      segmentKey(key, LOG, { number: 7 * 2 ** 24, salt: SALT }),
      segmentKey(key, { ...LOG, session: 'web1-3f9c2b' }, SEGMENT),
      segmentKey(key, { ...LOG, session: 'web1-3f9c2av', disk: 'da' }, SEGMENT),
      segmentKey(key, { ...LOG, disk: 'vdb' }, SEGMENT),
      segmentKey(key, { ...LOG, size: LOG.size + 512 }, SEGMENT),
      segmentKey(key, { ...LOG, places: 8192 }, SEGMENT),
      segmentKey(key, { ...LOG, suite: 1 }, SEGMENT),
      segmentKey(key, { ...LOG, overlayId: OVERLAY_ID.toReversed() }, SEGMENT),
      summaryKey(key, LOG, { segment: SEGMENT, salt: SALT }),
      summaryKey(key, LOG, { segment: { number: 8, salt: SALT }, salt: SALT }),
      summaryKey(key, LOG, { segment: { number: 7, salt: SALT.toReversed() }, salt: SALT }),
      summaryKey(key, LOG, { segment: SEGMENT, salt: SALT.toReversed() }),
    ];
    const mine = slotCodec(pageSealer(segmentKey(key, LOG, SEGMENT), suite));
    const bytes = sealed(mine, slot, PAGE);
    ok(mine.open(bytes, 5, into));
    for (const [index, one] of other.entries()) {
      const codecOfOther = slotCodec(pageSealer(one, suite));
      equal(codecOfOther.open(bytes, 5, into), undefined, `key ${index}`);
    }
    equal(new Set(other.map(hexOf)).size, other.length);
  });

  test(`bytes of any kind open nothing and name nothing: suite ${suite}`, async () => {
    const codec = codecOf(suite);
    const into = new Uint8Array(PAGE_LENGTH);
    const four = new Uint8Array(QUAD_LENGTH);
    for (const bytes of [new Uint8Array(4 * PLACE_LENGTH), pattern(4 * PLACE_LENGTH)]) {
      equal(codec.open(bytes, 1, into), undefined);
      equal(codec.open(bytes, 1, four), undefined);
      equal(readTrailer(bytes, PAGE_LENGTH), undefined);
      equal(readTrailer(bytes, QUAD_LENGTH), undefined);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, at) => {
        equal(codec.open(bytes, 1, into), undefined);
        equal(readTrailer(bytes, at), undefined);
      }),
    );
  });

  test(`fields that cannot be are refused although the seal fits: suite ${suite}`, async () => {
    const sealer = sealerOf(suite);
    const codec = slotCodec(sealer, { pages: 100 });
    const cases: readonly [string, (view: DataView) => void, Uint8Array?][] = [
      ['kind 0', (view) => view.setUint8(22, 0)],
      ['kind 7', (view) => view.setUint8(22, 7)],
      ['kind summary in a segment', (view) => view.setUint8(22, 4)],
      ['beyond the disk', (view) => view.setUint32(16, 100, true)],
      ['beyond the disk by far', (view) => view.setUint16(20, 1, true)],
      ['a spare byte', (view) => view.setUint8(30, 1)],
      ['another spare byte', (view) => view.setUint8(31, 1)],
      ['zeros of a page', (view) => view.setUint8(22, 2)],
      ['a mark of a page', (view) => view.setUint8(22, 3)],
      ['freed of a page', (view) => view.setUint8(22, 6)],
      // The page's last two bytes, the kind, one place.
      ['birth of no segment', (view) => view.setUint32(20, 0x01050001, true)],
      ['a quad beyond the disk', (view) => view.setUint32(16, 97, true), QUAD],
      ['a quad of zeros', (view) => view.setUint8(22, 2), QUAD],
      ['a mark that says something', (view) => view.setBigUint64(16, 0x0103_0000_0000_0000n, true)],
    ];
    for (const [name, fields, body = PAGE] of cases) {
      const bytes = forged(sealer, { place: 1, body, fields });
      throws(() => codec.open(bytes, 1, new Uint8Array(body.length)), FormatError, name);
    }
    const bytes = forged(sealer, { place: 1, body: PAGE, fields: () => {} });
    ok(codec.open(bytes, 1, new Uint8Array(PAGE_LENGTH)));
  });
}

test('what cannot be is not sealed', async () => {
  const codec = codecOf(2, 'segment', 100);
  const summary = codecOf(2, 'summary');
  const slot = { place: 5, kind: 'pages', page: 9, durable: DURABLE } as const;
  const into = new Uint8Array(4 * PLACE_LENGTH);
  const refused = { name: 'InvariantError' };
  throws(() => codec.seal(into, { ...slot, place: 6 }, QUAD), refused);
  throws(() => codec.seal(into, { ...slot, page: 100 }, PAGE), refused);
  throws(() => codec.seal(into, { ...slot, page: 97 }, QUAD), refused);
  throws(() => codec.seal(into, { ...slot, kind: 'summary' }, PAGE), refused);
  throws(() => summary.seal(into, slot, PAGE), refused);
  throws(() => codec.seal(into, { ...slot, kind: 'mark', page: 0 }, QUAD), refused);
  throws(() => codec.seal(into, slot, QUAD.subarray(0, 2 * PAGE_LENGTH)), refused);
  throws(() => codec.seal(into.subarray(0, PLACE_LENGTH - 1), slot, PAGE), refused);
});

// Key, slots and zeros were also made by another program, straight from the grammar.
const GOLDEN = {
  1: {
    head: '48466f680201000000100000004000000002000000050000101112131415161718191a1b1c1d1e1ffb0a841c',
    preface:
      '48466f730301000007000000404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5fcec57d7e',
    overlayKey: '4ff17b2a5448ec0ba87efde6114a3b3d0a7c1518de2e7beefc2b1662f2552f72',
    segmentKey: 'e0ff4d96e6a08397a436c1e269fc0d58501b98ad2226b46e65ffe12f1d94ec78',
    single: 'e8a27b85bbf23859785eee4b7d00dced',
    singleTrailer:
      '212221d8e4449efbf807ec3db578f3e603000000000101010700000000400000c3db1b8600000000',
    quad: '414c6bc7c33bc56ead277df3cb58fcfd',
    quadTrailer: '22ea8c89a72660f350fe120e28f91f7104000000000101040700000000400000f966753100000000',
    zeros: '13211edbd10cb2f9afcec9030d66c405',
    mark: 'e38e232ff4966bda5489c25be60a1e7f00000000000003010700000000400000cc60a86a00000000',
    birth: '003f4f5a9052839961359848d73160b4',
    freed: 'ac0c22f0d787e6a12dddc57c790fc51f',
    summary: '6f2424fd400e13a7080b5858b93c4ccd',
  },
  2: {
    head: '48466f680202000000100000004000000002000000050000101112131415161718191a1b1c1d1e1fe2345797',
    preface:
      '48466f730302000007000000404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f35d9e6ad',
    overlayKey: '824e5c2585c648edbc975eac4239d3299cd0abbd424dc080eb0b3d18ba4d2c9e',
    segmentKey: 'b67d81412a26ac9db7719ae4d2212d126cca5ce98cad2e6a6ce18793713c694e',
    single: '67d53ba7a1dce874ee34f70e9cee5c57',
    singleTrailer:
      'd26e2d7a70c8c9e74910d523be83644e03000000000101010700000000400000c3db1b8600000000',
    quad: 'c285ea9b1b3d877211d3dfbcf8a5839d',
    quadTrailer: '1e15ae3805520825eeee4bef0a6d4dc904000000000101040700000000400000f966753100000000',
    zeros: '3d5d8310450728cbed3aa3ff130f6b00',
    mark: 'bd74155d0a4c8c3618c7dba1df43f11800000000000003010700000000400000cc60a86a00000000',
    birth: '4cdeaf047ca9f5263b1b06c6e0444c92',
    freed: '23f008ab0346516e415d25f8812ec795',
    summary: 'b9c40c54cee716fb39261a5490505fd0',
  },
} as const satisfies Record<Suite, Record<string, string>>;

for (const suite of SUITES) {
  test(`the format does not drift: suite ${suite}`, async () => {
    const codec = codecOf(suite);
    const slot = (kind: NewSlot['kind'], page: number, body: Uint8Array): Uint8Array =>
      sealed(codec, { place: 5, kind, page, durable: DURABLE }, body);
    const trailer = (bytes: Uint8Array): string => {
      const at = bytes.length === PLACE_LENGTH ? PAGE_LENGTH : QUAD_LENGTH;
      return hexOf(bytes.subarray(at, at + TRAILER_LENGTH));
    };
    const single = slot('pages', 2 ** 40 + 3, PAGE);
    const quad = slot('pages', 2 ** 40 + 4, QUAD);
    const salts = { number: 7, suite, salt: SALT.toReversed() };
    const made = {
      head: hexOf(encodeHead({ ...HEAD, suite })),
      preface: hexOf(
        encodePreface({ of: 'segment', suite, number: 7, salt: SALT }).subarray(0, 48),
      ),
      overlayKey: hexOf(keysOf(suite).overlay),
      segmentKey: hexOf(segmentKey(keysOf(suite).overlay, { ...LOG, suite }, SEGMENT)),
      single: digest(single),
      singleTrailer: trailer(single),
      quad: digest(quad),
      quadTrailer: trailer(quad),
      zeros: digest(slot('zeros', 0, encodeZeros([{ first: 2 ** 40, count: 2 ** 41 }]))),
      mark: trailer(slot('mark', 0, MARK)),
      birth: digest(slot('birth', 7, encodeBirth(withSalts([1, 2, 3, 7]))[0]!)),
      freed: digest(slot('freed', 0, encodeFreed(withSalts([2, 3]))[0]!)),
      summary: digest(encodeSummary(exampleTable(), salts, codecOf(suite, 'summary'))),
    };
    deepEqual(made, GOLDEN[suite]);
  });
}

function keysOf(suite: Suite) {
  return suite === 2 ? domainKeys(DATA_KEY) : publicKeys();
}
