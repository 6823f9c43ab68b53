import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { putDurably } from '../../../src/sys/files/write-atomically.ts';
import {
  openRecordLog,
  type RecordLog,
  type RecordShape,
} from '../../../src/sys/files/record-log.ts';
import { crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { below, seeded } from '../../support/random.ts';

const PATH = '/log';
const HEADER = Buffer.from('header');
const RECORD_LENGTH_MAX = 4096;
const RECORDS: RecordShape = {
  headLength: 8,
  lengthMax: RECORD_LENGTH_MAX,
  lengthAt: (view, at) => {
    const length = view.getUint32(at + 4, true);
    return length > 0 && length < RECORD_LENGTH_MAX ? 8 + length : undefined;
  },
  isSound: (record) => crc32(record.subarray(4)) === Buffer.from(record).readUInt32LE(0),
};
const SEEDS = Number(process.env['SEEDS'] ?? 3);

/** crc, length, and a text. */
function record(text: string): Uint8Array {
  const bytes = Buffer.alloc(8 + text.length, text.padStart(8 + text.length));
  bytes.writeUInt32LE(text.length, 4);
  bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0);
  return bytes;
}

interface Opened {
  readonly log: RecordLog;
  /** What was replayed, and what was appended since. */
  readonly texts: string[];
  append(...texts: string[]): Promise<void>;
}

async function openLog(files: FileSystem, latest?: () => string[]): Promise<Opened> {
  const texts: string[] = [];
  const log = await openRecordLog(files, PATH, {
    headerLength: HEADER.length,
    records: RECORDS,
    checkHeader(bytes) {
      if (!HEADER.equals(bytes)) throw new Error('another header');
    },
    replay(given) {
      const bytes = Buffer.from(given);
      if (bytes.length < 8 || 8 + bytes.readUInt32LE(4) > bytes.length) return undefined;
      const length = 8 + bytes.readUInt32LE(4);
      if (crc32(bytes.subarray(4, length)) !== bytes.readUInt32LE(0)) return undefined;
      texts.push(bytes.subarray(8, length).toString());
      return length;
    },
    whole: () => [HEADER, ...(latest?.() ?? texts).map(record)],
  });
  return {
    log,
    texts,
    async append(...more) {
      texts.push(...more);
      await log.append(more.map(record));
    },
  };
}

async function newFs(): Promise<FileSystem> {
  const { files } = crashingFs(seeded(1));
  await putDurably(files, PATH, HEADER);
  return files;
}

async function replayed(files: FileSystem): Promise<string[]> {
  const { log, texts } = await openLog(files);
  await log[Symbol.asyncDispose]();
  return texts;
}

test('what was appended is replayed in order, however long the log and its records are', async () => {
  const files = await newFs();
  const random = seeded(1);
  const textOf = (n: number): string => `${n % 10}`.repeat(below(random, RECORD_LENGTH_MAX - 8));
  const expected = Array.from({ length: 300 }, (_, n) => textOf(n));
  for (let at = 0; at < expected.length; at += 50) {
    const opened = await openLog(files);
    deepEqual(opened.texts, expected.slice(0, at));
    await opened.append(...expected.slice(at, at + 50));
    await opened.log[Symbol.asyncDispose]();
  }
  deepEqual(await replayed(files), expected);
});

test('a log that grew stale is written afresh, and goes on from there', async () => {
  const files = await newFs();
  const opened = await openLog(files, () => ['all of it']);
  const long = 'x'.repeat(4000);
  let largest = 0;
  for (let n = 0; n < 1000; n++) {
    await opened.append(long);
    largest = Math.max(largest, (await files.stat(PATH))!.size);
  }
  ok(largest < 1.1 * 2 ** 20, `${largest} bytes`);
  await opened.append('the last');
  await opened.log[Symbol.asyncDispose]();
  const texts = await replayed(files);
  equal(texts[0], 'all of it');
  equal(texts.at(-1), 'the last');
});

test('another header, or none, is refused by the check of the format', async () => {
  const files = await newFs();
  await putDurably(files, PATH, Buffer.from('hea'));
  await rejects(openLog(files), /another header/);
  await putDurably(files, PATH, Buffer.alloc(0));
  await rejects(openLog(files), /another header/);
});

test('a power cut at any call: what was acknowledged is there, and nothing behind a gap', async () => {
  const initial = crashingFs(seeded(0));
  await putDurably(initial.files, PATH, HEADER);
  const steps = Array.from({ length: 6 }, (_, n) => [`a${n}`.repeat(300), `b${n}`]);
  const all = steps.flat();
  let isCut = true;
  for (let cutAt = 1; isCut; cutAt++) {
    isCut = false;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      let acknowledged = 0;
      try {
        const opened = await openLog(disk.files);
        for (const step of steps) {
          await opened.append(...step);
          acknowledged += step.length;
        }
      } catch (cause) {
        onlyPowerCuts(cause);
        isCut = true;
      }
      const found = await replayed(disk.reboot().files);
      deepEqual(found, all.slice(0, found.length));
      ok(found.length >= acknowledged, `cutAt=${cutAt} seed=${seed}`);
    }
  }
});

/** A log of four records, and where each begins and the last one ends. */
async function fourRecords() {
  const files = await newFs();
  const texts = ['one', 'two'.repeat(300), 'three', 'four'.repeat(10)];
  const opened = await openLog(files);
  for (const text of texts) await opened.append(text);
  await opened.log[Symbol.asyncDispose]();
  const places = [HEADER.length];
  for (const text of texts) places.push(places.at(-1)! + record(text).length);
  return { files, texts, places, bytes: await files.readFile(PATH, 2 ** 20) };
}

// A2
test('a record in the middle that is damaged is reported with its place, and nothing is cut', async () => {
  const { files, places, bytes } = await fourRecords();
  const last = places[3]!;
  for (let at = HEADER.length; at < last; at++) {
    const damaged = bytes.slice();
    damaged[at]! ^= 0x10;
    await putDurably(files, PATH, damaged);
    const place = places.findLast((it) => it <= at);
    await rejects(openLog(files), {
      name: 'SystemError',
      code: 'CORRUPT',
      message: new RegExp(`^${PATH} is damaged at byte ${place} of ${bytes.length}: `),
    });
    deepEqual(await files.readFile(PATH, 2 ** 20), damaged);
  }
});

test('of a last record that was torn nothing counts, however it was torn', async () => {
  const { files, texts, places, bytes } = await fourRecords();
  const last = places[3]!;
  for (let end = last; end < bytes.length; end++) {
    await putDurably(files, PATH, bytes.subarray(0, end));
    deepEqual(await replayed(files), texts.slice(0, 3), `cut at ${end}`);
    // A sector that was never written, in a file that is long enough already.
    await putDurably(files, PATH, Buffer.concat([bytes.subarray(0, end)], bytes.length));
    deepEqual(await replayed(files), texts.slice(0, 3), `zeros from ${end}`);
    const damaged = bytes.slice();
    damaged[end]! ^= 0x10;
    await putDurably(files, PATH, damaged);
    deepEqual(await replayed(files), texts.slice(0, 3), `damaged at ${end}`);
  }
});

test('more than the longest record that is not whole is damage', async () => {
  const files = await newFs();
  const log = (length: number) => Buffer.concat([HEADER, record('one')], length);
  const end = HEADER.length + record('one').length;
  await putDurably(files, PATH, log(end + RECORD_LENGTH_MAX));
  deepEqual(await replayed(files), ['one']);
  await putDurably(files, PATH, log(end + RECORD_LENGTH_MAX + 1));
  await rejects(openLog(files), { code: 'CORRUPT' });
});

test('a record whose length was torn in the middle was torn', async () => {
  const files = await newFs();
  // The first sector of the record got to the disk: the checksum, and one byte of the length.
  const before = record('x'.repeat(507 - HEADER.length - 8));
  const bytes = Buffer.concat([HEADER, before, record('y'.repeat(0x123))]);
  bytes.fill(0, 512);
  await putDurably(files, PATH, bytes);
  equal((await replayed(files)).length, 1);
});

test('records that follow one that says it is shorter are no part of it', async () => {
  const { files, places, bytes } = await fourRecords();
  const damaged = bytes.slice();
  for (const at of places.slice(2, 4)) damaged[at + 8]! ^= 1;
  await putDurably(files, PATH, damaged);
  await rejects(openLog(files), { code: 'CORRUPT', message: new RegExp(`at byte ${places[2]} `) });
});

test('nothing of a torn record is left once another one is written, also where power goes again', async () => {
  const initial = crashingFs(seeded(0));
  const torn = record('torn'.repeat(200));
  torn[100]! ^= 1;
  await putDurably(initial.files, PATH, Buffer.concat([HEADER, torn]));
  const next = 'next'.repeat(20);
  let isCut = true;
  for (let cutAt = 1; isCut; cutAt++) {
    isCut = false;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      let acknowledged = 0;
      try {
        const opened = await openLog(disk.files);
        deepEqual(opened.texts, []);
        await opened.append(next);
        acknowledged++;
      } catch (cause) {
        onlyPowerCuts(cause);
        isCut = true;
      }
      const after = disk.reboot();
      const found = await replayed(after.files);
      deepEqual(found, [next].slice(0, found.length));
      ok(found.length >= acknowledged, `cutAt=${cutAt} seed=${seed}`);
      if (acknowledged === 0) continue;
      equal((await after.files.stat(PATH))!.size, HEADER.length + record(next).length);
    }
  }
});
