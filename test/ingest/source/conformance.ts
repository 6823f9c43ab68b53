import { equal, ok, rejects } from 'node:assert/strict';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import type { Source } from '../../../src/ingest/source/source.ts';
import { readableDeviceConforms, sparsePattern } from '../../block/conformance.ts';

type Test = (name: string, body: () => Promise<void>) => unknown;

const SECTOR = 512;
const LARGE_SECTOR = 4096;
/** Whole sectors, large ones too, and nothing rounder. */
const SIZE = 37 * LARGE_SECTOR;

/** Somewhere that a disk can be backed up from. */
export interface Place {
  /** As a backup opens it; a second time while the first one is still open, too. */
  open(): Promise<Source>;
}

/** What every kind of source promises. `place` makes one whose disk has these bytes. */
export function sourceConforms(test: Test, place: (initial: Uint8Array) => Promise<Place>): void {
  readableDeviceConforms(test, async (initial) => deviceOf(await (await place(initial)).open()), {
    size: SIZE,
  });

  test('it is called the same each time, and two backups read it at once', async () => {
    const initial = sparsePattern(SIZE);
    const it = await place(initial);
    await using one = await it.open();
    await using two = await it.open();
    equal(one.where, two.where);
    ok(one.where.length > 0);
    for (const { device } of [one, two]) {
      const into = new Uint8Array(SECTOR);
      await device.read(into, SIZE - SECTOR);
      equal(Buffer.compare(into, initial.subarray(SIZE - SECTOR)), 0);
    }
  });

  test('its sectors are those that its partition table counts in', async () => {
    for (const [at, expected] of [
      [LARGE_SECTOR, LARGE_SECTOR],
      [SECTOR, undefined],
    ] as const) {
      const initial = sparsePattern(SIZE);
      initial.fill(0, 0, 2 * LARGE_SECTOR);
      initial.set(Buffer.from('EFI PART', 'latin1'), at);
      await using source = await (await place(initial)).open();
      equal(source.sectorSize, expected);
    }
  });

  test('closed, it can no longer be read, and may be closed again', async () => {
    const source = await (await place(sparsePattern(SIZE))).open();
    await source[Symbol.asyncDispose]();
    await source[Symbol.asyncDispose]();
    await rejects(source.device.read(new Uint8Array(SECTOR), 0), { code: 'CLOSED' });
  });
}

/** The device of a source, closing which closes the source. */
function deviceOf(source: Source): BlockDevice {
  return { ...source.device, [Symbol.asyncDispose]: () => source[Symbol.asyncDispose]() };
}
