import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import type { FileSystem } from '../../src/sys/file-system.ts';
import { putDurably } from '../../src/sys/put-durably.ts';
import { openRecordLog, type RecordLog } from '../../src/sys/record-log.ts';
import { crashingFs, onlyPowerCuts } from '../support/crashing-fs.ts';
import { below, seeded } from '../support/random.ts';

const PATH = '/log';
const HEADER = Buffer.from('header');
const RECORD_LENGTH_MAX = 4096;
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
    recordLengthMax: RECORD_LENGTH_MAX,
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

test('another header, or none, is refused by whoever knows it', async () => {
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

test('what follows a torn record never counts again, also where power goes a second time', async () => {
  const initial = crashingFs(seeded(0));
  await putDurably(initial.files, PATH, HEADER);
  const torn = record('torn'.repeat(200));
  torn[100]! ^= 1;
  {
    await using file = await initial.files.open(PATH, 'write');
    await file.write(Buffer.concat([torn, record('never acknowledged')]), HEADER.length);
  }
  let isCut = true;
  for (let cutAt = 1; isCut; cutAt++) {
    isCut = false;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const disk = initial.copy(seeded(seed * 1000 + cutAt), cutAt);
      let acknowledged = 0;
      try {
        const opened = await openLog(disk.files);
        deepEqual(opened.texts, []);
        await opened.append('same'.repeat(200));
        acknowledged++;
      } catch (cause) {
        onlyPowerCuts(cause);
        isCut = true;
      }
      const found = await replayed(disk.reboot().files);
      deepEqual(found, ['same'.repeat(200)].slice(0, found.length));
      ok(found.length >= acknowledged, `cutAt=${cutAt} seed=${seed}`);
    }
  }
});
