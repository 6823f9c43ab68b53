import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { memoryDevice } from '../../../src/block/memory.ts';
import { checkSealedOverlay } from '../../../src/block/sealed/check.ts';
import {
  openSealedOverlay,
  prepareSealedOverlay,
} from '../../../src/block/sealed/sealed-overlay.ts';
import { publicKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import { PLACE_LENGTH, readTrailer } from '../../../src/formats/store/sessions/overlay-log.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { systemRandom } from '../../../src/sys/base/random.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';
import { below, pattern, seeded } from '../../support/random.ts';
import { ROOMY } from '../../support/space.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const PAGE = 4096;
const PAGES = 200;
const SIZE = PAGES * PAGE;
const WORLD = { files: realFileSystem(), clock: systemClock(), random: systemRandom() };
const KEY = { suite: 1, overlayKey: publicKeys().overlay } as const;

async function place() {
  const directory = join(temporaryDirectory(), 'session');
  mkdirSync(directory);
  const disk = { directory, disk: 'vda' };
  await prepareSealedOverlay({ ...WORLD, ...disk, size: SIZE, suite: 1, places: 64 });
  const it = { ...WORLD, ...disk, session: 's', key: KEY };
  return {
    directory,
    // Little that no longer counts is enough for the cleaner.
    open: (begun: boolean) =>
      openSealedOverlay(
        { ...it, begun, space: ROOMY, limits: { deadMax: 64 * PAGE } },
        memoryDevice(new Uint8Array(SIZE)),
      ),
    check: () => checkSealedOverlay({ ...it, begun: true }, SIZE),
    async checkWithoutKey() {
      const { key: _, ...locked } = it;
      return checkSealedOverlay({ ...locked, begun: true }, SIZE);
    },
  };
}

/** Flips a bit of each slot that ever held `page`. */
async function rot(directory: string, page: number): Promise<number> {
  let flipped = 0;
  for (const name of await WORLD.files.list(directory)) {
    if (!name.endsWith('.seg')) continue;
    await using file = await WORLD.files.open(join(directory, name), 'write');
    const bytes = new Uint8Array(PLACE_LENGTH);
    for (let at = 1; (await file.read(bytes, at * PLACE_LENGTH)) > PAGE; at++) {
      const trailer = readTrailer(bytes, PAGE);
      if (trailer?.kind !== 'pages' || trailer.page !== page || trailer.n !== 1) continue;
      await file.write(Uint8Array.of(bytes[9]! ^ 4), at * PLACE_LENGTH + 9);
      flipped++;
    }
  }
  return flipped;
}

test('a check beside a guest that writes, flushes and trims finds no damage that is none', async () => {
  const { directory, open, check, checkWithoutKey } = await place();
  await using overlay = await open(false);
  const random = seeded(3);
  const over = new AbortController();
  async function haveSegmentsGone(): Promise<boolean> {
    const numbers = (await WORLD.files.list(directory)).flatMap((name) =>
      name.endsWith('.seg') ? [Number(name.split('.')[1])] : [],
    );
    return Math.max(...numbers) > numbers.length;
  }
  async function guest(): Promise<void> {
    while (!over.signal.aborted) {
      const first = below(random, PAGES - 8);
      const length = PAGE * (1 + below(random, 8));
      if (random() < 0.1) await overlay.zero(first * PAGE, length, 'cached');
      else await overlay.write(pattern(length), first * PAGE, 'cached');
      if (random() < 0.05) await overlay.flush();
      await new Promise((done) => setTimeout(done, 1));
    }
  }
  const guests = [guest(), guest()];
  try {
    for (let times = 0; times < 15 || !(await haveSegmentsGone()); times++) {
      deepEqual(await check(), []);
      deepEqual(await checkWithoutKey(), []);
    }
  } finally {
    over.abort();
    await Promise.all(guests);
  }
});

test('damage is found where a page needs it, and only there', async () => {
  const { directory, open, check } = await place();
  {
    await using overlay = await open(false);
    for (const page of [3, 7, 9]) await overlay.write(pattern(PAGE, page), page * PAGE, 'durable');
  }
  equal(await rot(directory, 7), 1);
  const [what, ...more] = await check();
  match(
    what!,
    /^page 7 of disk vda \(4\.00 KiB at byte 28672\) is damaged in .*vda\.00000001\.seg$/,
  );
  deepEqual(more, []);
  {
    await using overlay = await open(true);
    await overlay.write(pattern(PAGE), 7 * PAGE, 'durable');
  }
  deepEqual(await check(), [], 'a newer one took its place');
});

test('pages that share a seal are one damage, which names those that are still there', async () => {
  const { directory, open, check } = await place();
  let page = -1;
  {
    await using overlay = await open(false);
    await overlay.write(pattern(16 * PAGE), 8 * PAGE, 'durable');
    const [segment] = (await WORLD.files.list(directory)).filter((name) => name.endsWith('.seg'));
    await using file = await WORLD.files.open(join(directory, segment!), 'write');
    const bytes = new Uint8Array(4 * PLACE_LENGTH);
    for (let at = 1; page < 0; at += 4) {
      await file.read(bytes, at * PLACE_LENGTH);
      const trailer = readTrailer(bytes, 4 * PAGE);
      if (trailer?.n !== 4) continue;
      ({ page } = trailer);
      await file.write(Uint8Array.of(bytes[9]! ^ 4), at * PLACE_LENGTH + 9);
    }
  }
  {
    await using overlay = await open(true);
    const all = new RegExp(`pages ${page} to ${page + 3} of disk vda`);
    await rejects(overlay.read(new Uint8Array(PAGE), (page + 1) * PAGE), all);
    await overlay.write(pattern(PAGE), page * PAGE, 'durable');
    await overlay.write(pattern(PAGE), (page + 2) * PAGE, 'durable');
  }
  const [what, ...more] = await check();
  const bytes = `12.0 KiB at byte ${(page + 1) * PAGE}`;
  const left = `pages ${page + 1} to ${page + 3} of disk vda (${bytes}) are damaged in `;
  equal(what!.startsWith(left), true, what);
  deepEqual(more, []);
});
