import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { FormatError } from '../../../../src/formats/format-error.ts';
import {
  BIRTH_RANGES_MAX,
  birthCopies,
  decodeBirth,
  decodeFreed,
  decodeVoids,
  decodeZeros,
  encodeBirth,
  encodeFreed,
  encodeVoids,
  encodeZeros,
  FREED_MAX,
  joinBirth,
  SEGMENTS_MAX,
  segmentsDigest,
  VOIDS_MAX,
  ZERO_RUNS_MAX,
} from '../../../../src/formats/store/sessions/overlay-bodies.ts';
import {
  decodeSummary,
  encodeSummary,
  placeTable,
} from '../../../../src/formats/store/sessions/overlay-summary.ts';
import {
  decodePreface,
  PLACE_LENGTH,
  slotCodec,
} from '../../../../src/formats/store/sessions/overlay-log.ts';
import {
  codecOf,
  exampleTable,
  record,
  SALT,
  sealerOf,
  SUITES,
  withSalts,
} from '../../../support/overlay-slots.ts';

const corrupt = { name: 'FormatError', code: 'CORRUPT' } as const;

/** A value or a typed error, whatever the bytes are. */
function isTotal(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
  }
}

test('lists of zeros, segments, freed ones and voids are decoded as they were encoded', async () => {
  const runs = fc.array(
    record({ first: fc.nat(2 ** 31), count: fc.integer({ min: 1, max: 2 ** 47 }) }),
    { minLength: 1, maxLength: ZERO_RUNS_MAX, size: 'max' },
  );
  fc.assert(fc.property(runs, (list) => deepEqual(decodeZeros(encodeZeros(list), 2 ** 48), list)));
  const whole = [{ first: 0, count: 2 ** 48 - 1 }];
  deepEqual(decodeZeros(encodeZeros(whole), 2 ** 48), whole);

  const numbers = fc
    .uniqueArray(fc.integer({ min: 0, max: 2 ** 32 - 1 }), {
      minLength: 1,
      maxLength: FREED_MAX,
      size: 'max',
    })
    .map(withSalts);
  const copies = <T>(list: readonly T[]) => [0, 1, 2].map((copy) => ({ copy, list }));
  fc.assert(
    fc.property(numbers, (list) => deepEqual(encodeFreed(list).map(decodeFreed), copies(list))),
  );

  const voids = fc.array(
    record({
      segment: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      from: fc.integer({ min: 1, max: 9000 }),
      to: fc.integer({ min: 9001, max: 2 ** 14 }),
    }),
    { minLength: 1, maxLength: VOIDS_MAX, size: 'max' },
  );
  fc.assert(
    fc.property(voids, (list) => deepEqual(encodeVoids(list).map(decodeVoids), copies(list))),
  );

  const gaps = fc.array(fc.integer({ min: 1, max: 3 }), {
    minLength: 1,
    maxLength: 3000,
    size: 'max',
  });
  fc.assert(
    fc.property(gaps, (list) => {
      let number = 0;
      const segments = list.map((gap) => (number += gap));
      const slots = encodeBirth(withSalts(segments)).map(decodeBirth);
      const count = slots[0]!.bodies;
      deepEqual(
        slots.map(({ index, bodies }) => [index, bodies]),
        Array.from({ length: birthCopies(count) * count }, (_, at) => [at % count, count]),
      );
      // Any copy of each is enough.
      const some = slots.slice(0, count).map((slot, at) => (at % 2 ? slot : slots[count + at]!));
      const { ranges, digest } = joinBirth(some);
      equal(Buffer.compare(digest, segmentsDigest(withSalts(segments))), 0);
      const listed = ranges.flatMap(({ first, last }) =>
        Array.from({ length: last - first + 1 }, (_, at) => first + at),
      );
      deepEqual(listed, segments);
    }),
    { numRuns: 30 },
  );
  const apart = Array.from({ length: BIRTH_RANGES_MAX + 1 }, (_, at) => 2 * at);
  // No sector of 4 KiB reaches into the first and the last one.
  equal(encodeBirth(withSalts(apart.slice(1))).length, 3);
  equal(encodeBirth(withSalts(apart)).length, 4);
});

test('birth bodies that do not follow each other, or list more than can be, are refused', async () => {
  const apart = Array.from({ length: 2 * BIRTH_RANGES_MAX + 1 }, (_, at) => 2 * at);
  const bodies = encodeBirth(withSalts(apart)).map(decodeBirth).slice(0, 3);
  const [first, second, third] = bodies;
  equal(joinBirth(bodies).ranges.length, apart.length);
  const backwards = { ...second!, ranges: first!.ranges };
  for (const wrong of [
    [first!, second!],
    [first!, first!, second!],
    [second!, third!],
    [first!, backwards, third!],
    [first!, { ...second!, bodies: 2 }, third!],
    [first!, { ...second!, digest: new Uint8Array(32) }, third!],
  ]) {
    throws(() => joinBirth(wrong), corrupt);
  }
  const { digest } = first!;
  const list = (last: number) => [{ index: 0, bodies: 1, digest, ranges: [{ first: 1, last }] }];
  equal(joinBirth(list(SEGMENTS_MAX)).ranges.length, 1);
  throws(() => joinBirth(list(SEGMENTS_MAX + 1)), corrupt);
  throws(() => joinBirth(list(2 ** 32 - 1)), corrupt);
});

test('lists that cannot be are refused', async () => {
  const altered = (bytes: Uint8Array, at: number, ...values: number[]): Uint8Array => {
    const copy = Uint8Array.from(bytes);
    copy.set(values, at);
    return copy;
  };
  const zeros = encodeZeros([{ first: 5, count: 5 }]);
  const birth = encodeBirth(withSalts([3, 4, 9]))[0]!;
  const freed = encodeFreed(withSalts([3]))[0]!;
  const voids = encodeVoids([{ segment: 3, from: 4, to: 7 }])[0]!;
  const cases: readonly [string, () => unknown][] = [
    ['zeros: none', () => decodeZeros(altered(zeros, 0, 0), 100)],
    ['zeros: too many', () => decodeZeros(altered(zeros, 0, 0xff, 0xff), 100)],
    ['zeros: beyond the disk', () => decodeZeros(zeros, 9)],
    ['zeros: an empty run', () => decodeZeros(altered(zeros, 14, 0), 100)],
    ['zeros: a spare byte', () => decodeZeros(altered(zeros, 7, 1), 100)],
    ['zeros: something behind the list', () => decodeZeros(altered(zeros, 4095, 1), 100)],
    ['zeros: short', () => decodeZeros(zeros.subarray(1), 100)],
    ['birth: none', () => decodeBirth(altered(birth, 0, 0))],
    ['birth: too many', () => decodeBirth(altered(birth, 0, 0, 2))],
    ['birth: beyond its bodies', () => decodeBirth(altered(birth, 2, 1))],
    ['birth: of no bodies', () => decodeBirth(altered(birth, 4, 0))],
    ['birth: a spare byte', () => decodeBirth(altered(birth, 6, 1))],
    ['birth: a range that ends before it begins', () => decodeBirth(altered(birth, 44, 2))],
    ['birth: ranges that overlap', () => decodeBirth(altered(birth, 48, 4))],
    ['birth: something behind the list', () => decodeBirth(altered(birth, 56, 1))],
    ['freed: none', () => decodeFreed(altered(freed, 0, 0))],
    ['freed: too many', () => decodeFreed(altered(freed, 0, 114))],
    ['freed: a copy that cannot be', () => decodeFreed(altered(freed, 2, 3))],
    ['freed: a spare byte', () => decodeFreed(altered(freed, 3, 1))],
    ['freed: something behind the list', () => decodeFreed(altered(freed, 44, 1))],
    ['voids: none', () => decodeVoids(altered(voids, 0, 0))],
    ['voids: too many', () => decodeVoids(altered(voids, 0, 0xff, 4))],
    ['voids: a copy that cannot be', () => decodeVoids(altered(voids, 2, 3))],
    ['voids: a spare byte', () => decodeVoids(altered(voids, 3, 1))],
    ['voids: an empty run', () => decodeVoids(altered(voids, 14, 4))],
    ['voids: the preface', () => decodeVoids(altered(voids, 12, 0))],
    ['voids: something behind the list', () => decodeVoids(altered(voids, 16, 1))],
  ];
  for (const [name, decode] of cases) throws(decode, corrupt, name);
  const bodies = fc.uint8Array({ minLength: 4000, maxLength: 4200, size: 'max' });
  fc.assert(
    fc.property(bodies, (body) => {
      isTotal(() => decodeZeros(body, 2 ** 48));
      isTotal(() => decodeBirth(body));
      isTotal(() => decodeFreed(body));
      isTotal(() => decodeVoids(body));
    }),
  );
});

const OF = { number: 7, places: 600, pages: 2 ** 48 };

for (const suite of SUITES) {
  test(`a summary says what lies where: suite ${suite}`, async () => {
    const codec = codecOf(suite, 'summary');
    const table = exampleTable();
    const bytes = encodeSummary(table, { number: 7, suite, salt: SALT }, codec);
    deepEqual(decodePreface(bytes), { of: 'summary', suite, number: 7, salt: SALT });
    const found = decodeSummary(bytes, OF, codec);
    deepEqual(found.bytes, table.bytes);
    for (let place = 0; place < 600; place++) {
      equal(found.kindAt(place), table.kindAt(place));
      equal(found.pageAt(place), table.pageAt(place));
      equal(found.countAt(place), table.countAt(place));
    }
    equal(found.kindAt(5), 'pages');
    equal(found.pageAt(5), 2 ** 40);
    equal(found.countAt(5), 4);
    equal(found.kindAt(6), undefined);

    for (let at = PLACE_LENGTH; at < bytes.length; at += 37) {
      bytes[at]! ^= 1;
      throws(() => decodeSummary(bytes, OF, codec), FormatError, `byte ${at}`);
      bytes[at]! ^= 1;
    }
    const refusals: readonly [string, () => unknown][] = [
      ['another segment', () => decodeSummary(bytes, { ...OF, number: 8 }, codec)],
      ['more places', () => decodeSummary(bytes, { ...OF, places: 601 }, codec)],
      ['fewer pages', () => decodeSummary(bytes, { ...OF, pages: 2 ** 40 + 3 }, codec)],
      ['cut short', () => decodeSummary(bytes.subarray(1), OF, codec)],
      ['longer', () => decodeSummary(Uint8Array.of(...bytes, 0), OF, codec)],
      ['slots of a segment', () => decodeSummary(bytes, OF, slotCodec(sealerOf(suite, 'summary')))],
    ];
    for (const [name, decode] of refusals) throws(decode, FormatError, name);
    const nothing = encodeSummary(placeTable(600), { number: 7, suite, salt: SALT }, codec);
    throws(() => decodeSummary(nothing, { ...OF, number: 8 }, codec), corrupt);
  });

  test(`a summary of what cannot be is refused although its seal fits: suite ${suite}`, async () => {
    const codec = codecOf(suite, 'summary');
    const entry = (place: number, page: number, kind: number, n: number) => {
      const table = exampleTable();
      const view = new DataView(table.bytes.buffer);
      view.setUint32(place * 8, page, true);
      table.bytes[place * 8 + 6] = kind;
      table.bytes[place * 8 + 7] = n;
      return encodeSummary(table, { number: 7, suite, salt: SALT }, codec);
    };
    ok(decodeSummary(entry(20, 1, 1, 1), OF, codec));
    const cases: readonly (readonly [string, Uint8Array])[] = [
      ['a slot where the preface is', entry(0, 1, 1, 1)],
      ['a slot where the last preface is', entry(599, 1, 1, 1)],
      ['a slot behind the segment', entry(600, 1, 1, 1)],
      ['a quad that reaches into the last preface', entry(597, 1, 1, 4)],
      ['a slot inside a quad', entry(6, 1, 1, 1)],
      ['a quad where none may begin', entry(20, 1, 1, 4)],
      ['a quad of zeros', entry(21, 0, 2, 4)],
      ['two pages', entry(21, 0, 1, 2)],
      ['a summary in a segment', entry(20, 7, 4, 1)],
      ['an unknown kind', entry(20, 0, 8, 1)],
      ['a void with a page', entry(20, 1, 0, 0)],
      ['a void with a count', entry(20, 0, 0, 1)],
      ['zeros with a page', entry(20, 1, 2, 1)],
      ['the birth of another segment', entry(20, 8, 5, 1)],
    ];
    for (const [name, bytes] of cases) throws(() => decodeSummary(bytes, OF, codec), corrupt, name);
  });
}

test('the bodies of lists do not drift', async () => {
  const begin = (bytes: Uint8Array, length: number): string =>
    Buffer.from(bytes.subarray(0, length)).toString('hex');
  equal(
    begin(encodeZeros([{ first: 2 ** 40, count: 2 ** 41 }]), 20),
    '0100000000000000000000000001000000000002',
  );
  equal(
    begin(encodeBirth(withSalts([1, 2, 3, 7]))[0]!, 56),
    '0200000001000000ae2f7787263e40bb7f3132c6e2016055a9b4b0490e09de6e2549ecb1f2047e05' +
      '01000000030000000700000007000000',
  );
  const freed = `02000000${'02'.repeat(32)}03000000${'03'.repeat(32)}`;
  equal(begin(encodeFreed(withSalts([2, 3]))[0]!, 80), `0200000000000000${freed}`);
  equal(begin(encodeFreed(withSalts([2, 3]))[2]!, 80), `0200020000000000${freed}`);
  const entries = [
    '0000000000000000',
    '0700000000000501',
    '0000000000000201',
    '0000000000000000',
    '0000000000000000',
    '0000000000010104',
    '0000000000000000',
    '0000000000000000',
    '0000000000000000',
    '0000000000000301',
    '0000000000000601',
  ];
  equal(begin(exampleTable().bytes, 88), entries.join(''));
});
