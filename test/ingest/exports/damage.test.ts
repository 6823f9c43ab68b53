import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { concatBytes } from '../../../src/lib/bytes.ts';
import { EXPORT_HEAD_LENGTH } from '../../../src/formats/store/exports/export-record.ts';
import { below, seeded } from '../../support/random.ts';
import { recordsOf, requireNoticed, requireSound, smallExport } from './damage.ts';

/* `damage.long.ts` flips every byte. */

const plain = await smallExport();
const sealed = await smallExport('horse');

function flipped(bytes: Uint8Array, at: number, bit = at & 7): Uint8Array {
  const copy = bytes.slice();
  copy[at]! ^= 1 << bit;
  return copy;
}

test('a flipped bit is noticed, and named with its record', async () => {
  const random = seeded(1);
  const { bytes } = sealed;
  const starts = startsOf(recordsOf(bytes));
  for (let count = 0; count < 150; count++) {
    const at = below(random, bytes.length);
    const found = await requireNoticed(flipped(bytes, at), `byte ${at}`);
    const start = starts.findLast((it) => it <= at);
    ok(found.includes(start!), `byte ${at}: ${found.join()} has not ${start}`);
  }
});

test('each bit of the heads of records is noticed', async () => {
  const { bytes } = plain;
  const random = seeded(2);
  for (const start of startsOf(recordsOf(bytes))) {
    for (let byte = 0; byte < EXPORT_HEAD_LENGTH; byte += 1 + below(random, 6)) {
      await requireNoticed(flipped(bytes, start + byte, below(random, 8)), `byte ${start + byte}`);
    }
  }
});

test('a point whose parts are whole is imported from a damaged file, the others are named', async () => {
  const random = seeded(3);
  let whole = 0;
  for (const it of [plain, sealed]) {
    for (let count = 0; count < 20; count++) {
      const at = below(random, it.bytes.length);
      whole += await requireSound(it, flipped(it.bytes, at), `byte ${at}`);
    }
  }
  ok(whole > 5, `${whole} points were whole`);
});

test('a file that was cut off has the points before the cut', async () => {
  const random = seeded(4);
  const { bytes } = sealed;
  const starts = startsOf(recordsOf(bytes));
  for (let count = 0; count < 60; count++) {
    await requireNoticed(bytes.subarray(0, 1 + below(random, bytes.length - 1)), `cut ${count}`);
  }
  for (const start of starts.slice(1)) await requireNoticed(bytes.subarray(0, start), 'a record');
  const beforeIndex = bytes.subarray(0, starts.at(-2));
  equal(await requireSound(sealed, beforeIndex, 'without its index'), 2);
  const beforeLast = bytes.subarray(0, starts.at(-3));
  equal(await requireSound(sealed, beforeLast, 'without the last point'), 1);
});

test('records that are missing, repeated, or in another order are noticed', async () => {
  const records = recordsOf(sealed.bytes);
  const starts = startsOf(records);
  const random = seeded(5);
  for (let count = 0; count < 30; count++) {
    const at = below(random, records.length - 1);
    const without = records.toSpliced(at, 1);
    const twice = records.toSpliced(at, 0, records[at]!);
    const other = below(random, records.length);
    const swapped = records.with(at, records[other]!).with(other, records[at]!);
    const found = await requireNoticed(concatBytes(...without), `without ${at}`);
    ok(found.includes(starts[at]!), `without ${at}: ${found.join()}`);
    await requireNoticed(concatBytes(...twice), `twice ${at}`);
    if (at !== other) await requireNoticed(concatBytes(...swapped), `${at} and ${other}`);
    if (count < 5) await requireSound(sealed, concatBytes(...swapped), `${at} and ${other}`);
  }
});

test('bytes that were put in or taken out, and records of another export, are noticed', async () => {
  const { bytes } = sealed;
  const random = seeded(6);
  const foreign = recordsOf((await smallExport('horse')).bytes);
  const records = recordsOf(bytes);
  for (let count = 0; count < 30; count++) {
    const at = below(random, bytes.length);
    const end = at + 1 + below(random, 100);
    await requireNoticed(concatBytes(bytes.subarray(0, at), bytes.subarray(end)), `out ${at}`);
    const put = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(at)];
    await requireNoticed(concatBytes(...put), `in ${at}`);
  }
  deepEqual(foreign.length, records.length);
  await requireNoticed(concatBytes(bytes, bytes), 'two exports');
});

test('nearly everything lost is no crash', async () => {
  const random = seeded(7);
  const { bytes } = plain;
  for (let count = 0; count < 10; count++) {
    const copy = bytes.slice();
    for (let flips = 0; flips < 30; flips++) copy[below(random, copy.length)]! ^= 0x55;
    await requireSound(plain, copy, `round ${count}`);
  }
});

function startsOf(records: readonly Uint8Array[]): number[] {
  let at = 0;
  return records.map(({ length }) => {
    const start = at;
    at += length;
    return start;
  });
}
