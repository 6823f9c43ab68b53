import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { memoryDevice } from '../../../../src/block/memory.ts';
import {
  openSealedOverlay,
  prepareSealedOverlay,
} from '../../../../src/block/sealed/sealed-overlay.ts';
import { publicKeys } from '../../../../src/formats/store/catalog/key-slot.ts';
import { PLACE_LENGTH } from '../../../../src/formats/store/sessions/overlay-log.ts';
import { systemClock } from '../../../../src/sys/base/clock.ts';
import type { FileSystem } from '../../../../src/sys/files/file-system.ts';
import { systemRandom } from '../../../../src/sys/base/random.ts';
import { realFileSystem } from '../../../../src/sys/files/real-file-system.ts';
import { below, noise, pattern, seeded } from '../../../support/random.ts';
import { ROOMY } from '../../../support/space.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const PAGE = 4096;
const MiB = 2 ** 20;
const root = temporaryDirectory();
const files = realFileSystem();
const random = systemRandom();
const KEY = { suite: 1, overlayKey: publicKeys().overlay } as const;

interface ReadCall {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}

/** Tells what is read of segments. */
function recording(inner: FileSystem, calls: ReadCall[]): FileSystem {
  return {
    ...inner,
    async open(path, access) {
      const file = await inner.open(path, access);
      const segment = Number(/\.(\d+)\.seg$/.exec(path)?.[1] ?? 0);
      return {
        ...file,
        read(into, offset) {
          if (segment > 0) calls.push({ segment, offset, length: into.length });
          return file.read(into, offset);
        },
      };
    },
  };
}

let count = 0;

async function place(size: number, places: number) {
  const directory = join(root, `${count++}`);
  mkdirSync(directory);
  const disk = { directory, disk: 'vda' };
  await prepareSealedOverlay({ files, random, ...disk, size, suite: 1, places });
  const it = { clock: systemClock(), random, ...disk, session: 's', key: KEY, space: ROOMY };
  const base = pattern(size, 4);
  const open = (over: FileSystem, begun: boolean) =>
    openSealedOverlay({ ...it, files: over, begun }, memoryDevice(base.slice()));
  return { directory, base, open };
}

/** Reads it as a keep does: some reads are under way. */
async function readInOrder(
  disk: { read(into: Uint8Array, offset: number): Promise<void> },
  size: number,
  step: number,
): Promise<Uint8Array> {
  const all = new Uint8Array(size);
  let at = 0;
  async function lane(): Promise<void> {
    while (at < size) {
      const from = at;
      at += step;
      await disk.read(all.subarray(from, Math.min(size, from + step)), from);
    }
  }
  await Promise.all(Array.from({ length: 4 }, lane));
  return all;
}

const isBehind = (one: ReadCall, other: ReadCall) =>
  one.segment > other.segment || (one.segment === other.segment && one.offset > other.offset);

test('pages written at random are read in the order of the log, neighbors by one read', async () => {
  const size = 20 * MiB;
  const { base, open } = await place(size, 16_384);
  const draw = seeded(11);
  const pages = Array.from({ length: size / PAGE }, (_, at) => ({ at, key: draw() }))
    .sort((one, other) => one.key - other.key)
    .slice(0, 4500)
    .map(({ at }) => at);
  {
    await using disk = await open(files, false);
    for (const page of pages) {
      const bytes = pattern(PAGE, page);
      base.set(bytes, page * PAGE);
      await disk.write(bytes, page * PAGE, 'cached');
    }
  }
  const calls: ReadCall[] = [];
  await using disk = await open(recording(files, calls), true);
  calls.length = 0;
  await using ascending = disk.ascending();
  equal(Buffer.compare(await readInOrder(ascending, size, MiB), base), 0);
  // 4096 pages are a window: the second one begins further ahead in the log.
  const turns = calls.filter((call, at) => at > 0 && !isBehind(call, calls[at - 1]!)).length;
  equal(turns, 1);
  ok(calls.length < pages.length / 30, `${calls.length} reads of ${pages.length} pages`);
  const read = calls.reduce((sum, { length }) => sum + length, 0);
  ok(read < 2.2 * pages.length * PLACE_LENGTH, `${read} bytes of ${pages.length} pages`);
});

test('what is read in order is what is read otherwise, whatever was written', async () => {
  const size = 300 * PAGE + 1000;
  for (let seed = 1; seed <= 5; seed++) {
    const { open } = await place(size, 64);
    const draw = seeded(seed);
    await using disk = await open(files, false);
    for (let count = 0; count < 120; count++) {
      const offset = below(draw, size);
      const length = Math.min(size - offset, 1 + below(draw, 20 * PAGE));
      if (draw() < 0.15) await disk.zero(offset, length, 'cached');
      else await disk.write(noise(length, count), offset, 'cached');
    }
    const expected = new Uint8Array(size);
    await disk.read(expected, 0);
    await using ascending = disk.ascending();
    for (const step of [1, 7, 300]) {
      await using again = step === 1 ? disk.ascending() : undefined;
      const found = await readInOrder(again ?? ascending, size, step * PAGE);
      equal(Buffer.compare(found, expected), 0, `SEED=${seed} in steps of ${step} pages`);
    }
    deepEqual(await ascending.extents(0, size), await disk.extents(0, size));
  }
});

test('what is written in the meantime is read as it is, also from behind', async () => {
  const size = 400 * PAGE;
  const { open } = await place(size, 64);
  await using disk = await open(files, false);
  for (let page = 399; page >= 0; page--) {
    await disk.write(noise(PAGE, page), page * PAGE, 'cached');
  }
  await using ascending = disk.ascending();
  const one = new Uint8Array(PAGE);
  await ascending.read(one, 10 * PAGE);
  await disk.write(noise(PAGE, 5000), 20 * PAGE, 'durable');
  await disk.zero(300 * PAGE, 50 * PAGE, 'durable');
  for (const page of [20, 5, 320, 399]) {
    await ascending.read(one, page * PAGE);
    const expected = new Uint8Array(PAGE);
    await disk.read(expected, page * PAGE);
    deepEqual(one, expected, `page ${page}`);
  }
});

test('a page that fails its seal is named by the read of it, and by no other', async () => {
  const size = 64 * PAGE;
  const { directory, open } = await place(size, 128);
  {
    await using disk = await open(files, false);
    for (let page = 0; page < 64; page++) {
      await disk.write(noise(PAGE, page), page * PAGE, 'cached');
    }
  }
  await using file = await files.open(join(directory, 'vda.00000001.seg'), 'write');
  // Places 1 to 3 are its birth.
  await file.write(new Uint8Array(9), (4 + 33) * PLACE_LENGTH + 100);
  await using disk = await open(files, true);
  await using ascending = disk.ascending();
  const part = new Uint8Array(16 * PAGE);
  await ascending.read(part, 0);
  deepEqual(part.subarray(0, PAGE), noise(PAGE, 0));
  await rejects(ascending.read(part, 32 * PAGE), /page 33 of disk vda .* is damaged/);
  await ascending.read(part, 48 * PAGE);
  deepEqual(part.subarray(15 * PAGE), noise(PAGE, 63));
});
