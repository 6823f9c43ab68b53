import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { SealedOverlay } from '../../../src/block/sealed/sealed-overlay.ts';
import { seeded } from '../../support/random.ts';
import { bytesOf } from './oracle.ts';
import { open, PAGE, prepared, rig } from './rig.ts';

// A log has at most so many segments as a location in memory can name: 16 TiB of what counts.

const PAGES = 600;
/** 64 of them are kept from guests. */
const MAX = 64 + 12;
const REFUSED = {
  name: 'BlockError',
  code: 'NO_SPACE',
  message: /vda: .* has \d+ segments, the maximum\. Keep or migrate the session/,
};

function write(overlay: SealedOverlay, page: number, stamp: number): Promise<void> {
  return overlay.write(bytesOf(stamp, page * PAGE, PAGE), page * PAGE, 'cached');
}

async function holds(overlay: SealedOverlay, page: number, stamp: number): Promise<boolean> {
  const into = new Uint8Array(PAGE);
  await overlay.read(into, page * PAGE);
  return Buffer.from(into).equals(bytesOf(stamp, page * PAGE, PAGE));
}

/** Writes pages until one is refused; answers how many were taken. */
async function filled(overlay: SealedOverlay): Promise<number> {
  for (let page = 0; page < PAGES; page++) {
    try {
      await write(overlay, page, 1 + page);
    } catch (cause) {
      await rejects(Promise.reject(cause), REFUSED);
      return page;
    }
  }
  throw new Error('all of it had room');
}

test('guests are refused where a log has as many segments as it can, and go on where there is room', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const it = rig(seeded(seed), seed, { size: PAGES * PAGE, limits: { segmentsMax: MAX } });
    const disk = await prepared(it);
    let overlay = await open(disk.files, it);
    const count = await filled(overlay);
    ok(count > 100 && count < 300, `${count} pages`);
    await overlay.flush();
    for (let page = 0; page < count; page += 9) ok(await holds(overlay, page, 1 + page));
    await rejects(write(overlay, count, 1), REFUSED);
    await overlay[Symbol.asyncDispose]();
    overlay = await open(disk.kill().files, it);
    for (let page = 0; page < count; page += 9) ok(await holds(overlay, page, 1 + page));
    // What guests trim makes room again.
    await overlay.zero(0, 100 * PAGE, 'cached');
    for (let round = 0; round < 4; round++) {
      await overlay.flush();
      await overlay.idle();
    }
    for (let page = 0; page < 50; page++) await write(overlay, page, 1000 + page);
    ok(await holds(overlay, 49, 1049));
    ok(await holds(overlay, 101, 102));
    deepEqual(it.damage, []);
    deepEqual(it.nonces.twice, []);
  }
});

test('a log that can have no segment more at all is opened to be read', async () => {
  const it = rig(seeded(1), 1, { size: PAGES * PAGE });
  const disk = await prepared(it);
  {
    await using overlay = await open(disk.files, it);
    for (let page = 0; page < 200; page++) await write(overlay, page, 1 + page);
  }
  const files = (await disk.files.list('/session')).filter((name) => name.endsWith('.seg'));
  const limits = { segmentsMax: files.length };
  await using overlay = await open(disk.kill().files, { ...it, options: { limits } });
  for (let page = 0; page < 200; page += 9) ok(await holds(overlay, page, 1 + page));
  ok(overlay.readOnly?.includes(`has ${files.length} segments`), overlay.readOnly);
  await rejects(write(overlay, 3, 7), { code: 'READ_ONLY', message: /Keep or migrate/ });
  await overlay.flush();
  equal(await holds(overlay, 3, 4), true);
});
