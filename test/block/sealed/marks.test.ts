import { deepEqual, equal, match } from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import type { BlockError } from '../../../src/block/block-error.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import {
  openSealedOverlay,
  prepareSealedOverlay,
} from '../../../src/block/sealed/sealed-overlay.ts';
import { PLACE_LENGTH, readTrailer } from '../../../src/formats/store/sessions/overlay-log.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { noise } from '../../support/random.ts';
import { ROOMY } from '../../support/space.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';

const PAGE = 4096;
const SIZE = 64 * PAGE;
const MARK_MS = 60;

/** Flips a bit of the slot that holds a page. */
function rot(directory: string, page: number): void {
  for (const name of readdirSync(directory).filter((it) => it.endsWith('.seg'))) {
    const path = join(directory, name);
    const bytes = readFileSync(path);
    for (let at = 0; at + PLACE_LENGTH <= bytes.length; at += PLACE_LENGTH) {
      const trailer = readTrailer(bytes.subarray(at, at + PLACE_LENGTH), PAGE);
      if (trailer?.kind !== 'pages' || trailer.page !== page) continue;
      bytes[at + 100]! ^= 1;
      writeFileSync(path, bytes);
      return;
    }
  }
  throw new Error(`no slot holds page ${page}`);
}

test('the last of several flushes is proven once the guest is quiet: what rots of it is no torn write', async () => {
  const root = temporaryDirectory();
  const directory = join(root, 'session');
  mkdirSync(directory);
  const common = { ...realWorld(), disk: 'vda' };
  await prepareSealedOverlay({ ...common, directory, size: SIZE, suite: 2, places: 64 });
  const open = (place: string) =>
    openSealedOverlay(
      {
        ...{ ...common, directory: place, space: ROOMY, session: 's', begun: false },
        key: { suite: 2, overlayKey: noise(32, 1) },
        limits: { markAfterMs: MARK_MS },
      },
      memoryDevice(new Uint8Array(SIZE)),
    );
  await using overlay = await open(directory);
  for (const page of [2, 3]) {
    await overlay.write(noise(PAGE, page), page * PAGE, 'durable');
    // Less than what the mark of the flush before waits for.
    await sleep(MARK_MS / 2);
  }
  let tries = 0;
  await until('the mark of the last flush', async () => {
    const copy = join(root, `copy-${tries++}`);
    cpSync(directory, copy, { recursive: true });
    rot(copy, 3);
    await using again = await open(copy);
    const into = new Uint8Array(PAGE);
    const failure = await again.read(into, 3 * PAGE).catch((cause: unknown) => cause);
    if (failure === undefined) return false;
    const { code, message } = failure as BlockError;
    equal(code, 'CORRUPT');
    match(message, /page 3 of disk vda/);
    await again.read(into, 2 * PAGE);
    deepEqual(into, noise(PAGE, 2));
    return true;
  });
});
