import { deepEqual, equal } from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { BlockDevice, Extent } from '../../../src/block/block-device.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import {
  openSealedOverlay,
  prepareSealedOverlay,
  type SealedOverlayOptions,
} from '../../../src/block/sealed/sealed-overlay.ts';
import { domainKeys, publicKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import type { Suite } from '../../../src/formats/store/sessions/overlay-log.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { systemRandom } from '../../../src/sys/base/random.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';
import { faultyFs } from '../../support/faulty-fs.ts';
import { pattern } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { readAll, writableDeviceConforms } from '../conformance.ts';
import { ROOMY } from '../../support/space.ts';

const root = temporaryDirectory();
const files = realFileSystem();
const clock = systemClock();
const random = systemRandom();
const DATA_KEY = new Uint8Array(32).fill(9);
let count = 0;

function freshDirectory(): string {
  const directory = join(root, `${count++}`);
  mkdirSync(directory);
  return directory;
}
interface Which {
  readonly suite?: Suite;
  readonly places?: number;
  readonly options?: Partial<SealedOverlayOptions>;
}
async function prepared(base: BlockDevice, { suite = 2, places = 64 }: Which = {}) {
  const directory = freshDirectory();
  const { size } = base.geometry;
  await prepareSealedOverlay({ files, random, directory, disk: 'vda', size, suite, places });
  return directory;
}
function open(base: BlockDevice, directory: string, { suite = 2, options = {} }: Which = {}) {
  const key = { suite, overlayKey: (suite === 2 ? domainKeys(DATA_KEY) : publicKeys()).overlay };
  const session = '0190a1c2-0000-7000-8000-000000000001';
  const place = { files, clock, random, directory, disk: 'vda', space: ROOMY, session, key };
  return openSealedOverlay({ ...place, begun: false, ...options }, base);
}
async function fresh(base: BlockDevice, which: Which = {}) {
  return open(base, await prepared(base, which), which);
}

for (const suite of [1, 2] as const) {
  for (const places of [8, 64, 16_384]) {
    test(`an overlay of suite ${suite} in segments of ${places} places`, async (t) => {
      writableDeviceConforms(t.test.bind(t) as never, (initial) =>
        fresh(memoryDevice(Uint8Array.from(initial)), { suite, places }),
      );
    });
  }
}

test('a closed overlay goes on where it was', async () => {
  const base = memoryDevice(new Uint8Array(50_000).fill(3));
  const directory = await prepared(base);
  let expected: Uint8Array;
  {
    await using disk = await open(base, directory);
    await disk.write(pattern(5000), 6000, 'cached');
    await disk.zero(20_000, 9000, 'cached');
    expected = await readAll(disk);
  }
  await using again = await open(base, directory, { options: { begun: true } });
  deepEqual(await readAll(again), expected);
  const written: Extent[] = [];
  for await (const extent of again.written()) written.push(extent);
  deepEqual(written, [
    { offset: 4096, length: 8192, kind: 'data' },
    { offset: 16_384, length: 4096, kind: 'data' },
    { offset: 20_480, length: 8192, kind: 'zero' },
    { offset: 28_672, length: 4096, kind: 'data' },
  ]);
  equal(again.taken, 4 * 4096);
});

test('a segment whose birth failed, and whose file stayed, is not missed', async () => {
  const base = memoryDevice(new Uint8Array(40 * 4096));
  const directory = await prepared(base, { places: 8 });
  let faultsLeft = 2;
  const failing = faultyFs(files, (operation, path) => {
    const isOf = operation === 'allocate' || operation === 'unlink';
    if (!path.endsWith('.00000002.seg') || !isOf || faultsLeft === 0) return undefined;
    faultsLeft--;
    return new SystemError('IO', `${operation} ${path}: made to fail`);
  });
  let expected: Uint8Array;
  {
    await using disk = await open(base, directory, { options: { files: failing } });
    for (let page = 0; page < 30; page++) {
      await disk.write(pattern(4096, page), page * 4096, 'cached').catch(async () => {
        await disk.write(pattern(4096, page), page * 4096, 'cached');
      });
    }
    expected = await readAll(disk);
  }
  equal(faultsLeft, 0);
  deepEqual(expected.subarray(0, 4096), pattern(4096, 0));
  await using again = await open(base, directory, { options: { begun: true } });
  deepEqual(await readAll(again), expected);
});
