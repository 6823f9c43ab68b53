import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { BlockError } from '../../../../src/block/block-error.ts';
import { memoryDevice } from '../../../../src/block/memory.ts';
import {
  openSealedOverlay,
  prepareSealedOverlay,
  type SealedOverlay,
  type SealedOverlayOptions,
} from '../../../../src/block/sealed/sealed-overlay.ts';
import type { SpaceGuard } from '../../../../src/block/space-guard.ts';
import { systemClock } from '../../../../src/sys/base/clock.ts';
import { systemRandom } from '../../../../src/sys/base/random.ts';
import { realFileSystem } from '../../../../src/sys/files/real-file-system.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { below, seeded } from '../../../support/random.ts';
import { ROOMY } from '../../../support/space.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';
import { readAll } from '../../conformance.ts';

// What follows flushes: segments that die, are cleaned, and give their space back.

const PAGE = 4096;
const PLACES = 64;
const root = temporaryDirectory();
const files = realFileSystem();
const random = systemRandom();
let count = 0;

interface Rig {
  readonly directory: string;
  readonly size: number;
  open(options?: Partial<SealedOverlayOptions>): Promise<SealedOverlay>;
}

async function rig(pages: number): Promise<Rig> {
  const directory = join(root, `${count++}`);
  mkdirSync(directory);
  const size = pages * PAGE;
  const place = { files, random, directory, disk: 'vda' };
  await prepareSealedOverlay({ ...place, size, suite: 2, places: PLACES });
  const key = { suite: 2, overlayKey: new Uint8Array(32).fill(1) } as const;
  const clock = systemClock();
  const common = { ...place, clock, space: ROOMY, session: 's', key, begun: false };
  const base = memoryDevice(beginning(size));
  return {
    directory,
    size,
    open: (options) =>
      openSealedOverlay(
        { ...common, ...options, limits: { deadMax: 4 * PLACES * PAGE, ...options?.limits } },
        base,
      ),
  };
}

/** What lies below: no zeros, so that those that are lost are seen. */
function beginning(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(size).fill(255);
}

function page(value: number): Uint8Array {
  return new Uint8Array(PAGE).fill(value);
}

function segmentsIn({ directory }: Rig): number {
  return readdirSync(directory).filter((name) => name.endsWith('.seg')).length;
}

async function settled(disk: SealedOverlay): Promise<void> {
  await disk.flush();
  await disk.idle();
}

test('a guest that writes the same pages over and over takes bounded space', async () => {
  const it = await rig(200);
  await using disk = await it.open();
  const next = seeded(1);
  const model = beginning(it.size);
  for (let n = 0; n < 6000; n++) {
    const at = below(next, 200);
    const value = 1 + (n % 250);
    model.fill(value, at * PAGE, (at + 1) * PAGE);
    await disk.write(page(value), at * PAGE, 'cached');
    if (n % 40 === 0) await settled(disk);
  }
  await settled(disk);
  await settled(disk);
  deepEqual(await readAll(disk), model);
  // 200 pages that count, as many or 256 that do not, the ones that change, and what waits for the flush after.
  ok(segmentsIn(it) <= 14, `${segmentsIn(it)} segments of ${PLACES} places`);
  ok(disk.stats.copied > 0 && disk.stats.copied < disk.stats.appended, JSON.stringify(disk.stats));
  equal(disk.stats.trouble, undefined);
});

test('what the cleaner copied is there after the next opening, pages and zeros', async () => {
  const it = await rig(300);
  const model = beginning(it.size);
  const next = seeded(2);
  {
    await using disk = await it.open({ limits: { deadMax: PLACES * PAGE } });
    for (let n = 0; n < 800; n++) {
      const first = below(next, 290);
      const length = (1 + below(next, 8)) * PAGE;
      const value = 1 + (n % 250);
      if (below(next, 4) === 0) {
        await disk.zero(first * PAGE, length, 'cached');
        model.fill(0, first * PAGE, first * PAGE + length);
      } else {
        await disk.write(new Uint8Array(length).fill(value), first * PAGE, 'cached');
        model.fill(value, first * PAGE, first * PAGE + length);
      }
      if (n % 30 === 0) await settled(disk);
    }
    ok(disk.stats.copied > 0);
    equal(disk.stats.trouble, undefined);
  }
  await using again = await it.open({ begun: true });
  deepEqual(await readAll(again), model);
});

test('writes while the cleaner copies the same pages are never undone', async () => {
  const it = await rig(64);
  const model = beginning(it.size);
  const next = seeded(3);
  {
    await using disk = await it.open({ limits: { deadMax: 1, writeNowMax: 0 } });
    for (let n = 0; n < 250; n++) {
      const work = Array.from({ length: 12 }, () => {
        const at = below(next, 64);
        const value = 1 + below(next, 250);
        model.fill(value, at * PAGE, (at + 1) * PAGE);
        return disk.write(page(value), at * PAGE, 'cached');
      });
      // Requests for one page are carried out in their order.
      await Promise.all([...work, disk.flush()]);
    }
    deepEqual(await readAll(disk), model);
    ok(disk.stats.copied > 0);
  }
  await using again = await it.open({ begun: true });
  deepEqual(await readAll(again), model);
});

test('a trim gives nine tenths of the space back within two flushes', async () => {
  const it = await rig(2000);
  await using disk = await it.open();
  for (let at = 0; at < 2000; at += 16) {
    await disk.write(new Uint8Array(16 * PAGE).fill(7), at * PAGE, 'cached');
  }
  await settled(disk);
  const before = segmentsIn(it);
  await disk.zero(0, it.size, 'cached');
  await settled(disk);
  await settled(disk);
  await settled(disk);
  ok(before > 30 && segmentsIn(it) <= before / 10, `${before}, then ${segmentsIn(it)}`);
});

/** Has space for so many bytes of segments; `pause`: who wants more waits. */
function limited(
  it: Rig,
  bytes: number,
  whenFull: 'pause' | 'refuse',
): SpaceGuard & { waits: number } {
  const clock = systemClock();
  const left = () => bytes - segmentsIn(it) * PLACES * 4136;
  const guard = {
    waits: 0,
    tryTake: () => false,
    left: async () => Math.max(0, left()),
    async full(cause: unknown) {
      throw cause;
    },
    async take(wanted: number) {
      while (left() < wanted) {
        if (whenFull === 'refuse') throw new BlockError('NO_SPACE', 'full');
        guard.waits++;
        await clock.sleep(5);
      }
    },
  };
  return guard;
}

test('writes that wait for space go on once the cleaner has made some, without a flush', async () => {
  const it = await rig(400);
  const space = limited(it, 16 * PLACES * 4136, 'pause');
  await using disk = await it.open({ space, limits: { deadMax: 1e9, stepMax: 16 } });
  const next = seeded(4);
  const model = beginning(it.size);
  for (let n = 0; n < 3000; n++) {
    const at = below(next, 400);
    const value = 1 + (n % 250);
    model.fill(value, at * PAGE, (at + 1) * PAGE);
    await disk.write(page(value), at * PAGE, 'cached');
  }
  ok(space.waits > 0);
  deepEqual(await readAll(disk), model);
  equal(disk.stats.trouble, undefined);
});

test('where space is refused a write fails, others go on, and a trim makes room', async () => {
  const it = await rig(1000);
  const space = limited(it, 10 * PLACES * 4136, 'refuse');
  await using disk = await it.open({ space, limits: { stepMax: 16 } });
  await rejects(
    (async () => {
      for (let at = 0; at < 1000; at++) await disk.write(page(1), at * PAGE, 'cached');
    })(),
    { code: 'NO_SPACE' },
  );
  await disk.flush();
  await disk.zero(0, it.size, 'cached');
  for (let n = 0; n < 3; n++) await settled(disk);
  await disk.write(page(2), 0, 'durable');
  const got = page(0);
  await disk.read(got, 0);
  deepEqual(got, page(2));
});

test('a page that is damaged stays so, and is reported, while other segments are cleaned', async () => {
  const it = await rig(200);
  const damage: string[] = [];
  const onDamage = (where: string) => void damage.push(where);
  const limits = { deadMax: 1 };
  {
    await using disk = await it.open();
    for (let at = 0; at < 60; at++) await disk.write(page(at + 1), at * PAGE, 'cached');
    await settled(disk);
  }
  const [first] = readdirSync(it.directory).filter((name) => name.endsWith('.seg'));
  const path = join(it.directory, first!);
  const bytes = readFileSync(path);
  bytes[10 * 4136 + 100]! ^= 1;
  writeFileSync(path, bytes);
  {
    await using disk = await it.open({ begun: true, onDamage, limits });
    for (let n = 0; n < 400; n++) {
      const at = n % 2 === 0 ? 10 + ((n / 2) % 50) : 60 + (n % 100);
      await disk.write(page(n % 250), at * PAGE, 'cached');
      if (n % 20 === 0) await settled(disk);
    }
    ok(damage.length > 0);
  }
  await using again = await it.open({ begun: true, limits });
  const got = page(0);
  let damaged = 0;
  for (let at = 0; at < 60; at++) {
    await again.read(got, at * PAGE).catch((cause: BlockError) => {
      equal(cause.code, 'CORRUPT');
      damaged++;
    });
  }
  equal(damaged, 1);
});

test('a wall clock that jumps, and an hour, begin a new segment under a new key', async () => {
  const it = await rig(100);
  const clock = fakeClock('2026-11-29T12:00:00Z');
  const keys = new Set<string>();
  const { pageSealer } = await import('../../../../src/sys/crypto/page-sealer.ts');
  let sealedUnder = '';
  await using disk = await it.open({
    clock,
    sealer: (key, suite) => {
      const sealer = pageSealer(key, suite);
      return {
        ...sealer,
        seal(...all) {
          sealedUnder = Buffer.from(key).toString('hex');
          keys.add(sealedUnder);
          sealer.seal(...all);
        },
      };
    },
  });
  async function keyOfWrite(): Promise<string> {
    await disk.write(page(1), 0, 'cached');
    return sealedUnder;
  }
  const first = await keyOfWrite();
  equal(await keyOfWrite(), first);
  const known = new Set(keys);
  clock.turn(6000);
  const second = await keyOfWrite();
  ok(!known.has(second), 'a key that no copy of this process has');
  clock.turn(-3000);
  await clock.advance(59 * 60 * 1000);
  const third = await keyOfWrite();
  await clock.advance(2 * 60 * 1000);
  ok((await keyOfWrite()) !== third);
});

test('the journal says that there are segments before a write is answered', async () => {
  const it = await rig(10);
  const events: string[] = [];
  const gate = Promise.withResolvers<void>();
  await using disk = await it.open({
    async begin() {
      events.push(`begin, with ${segmentsIn(it) > 0 ? 'segments' : 'none'}`);
      await gate.promise;
      events.push('begun');
    },
  });
  const write = disk.write(page(1), 0, 'cached').then(() => events.push('answered'));
  await systemClock().sleep(20);
  gate.resolve();
  await write;
  await disk.write(page(1), 0, 'cached');
  deepEqual(events, ['begin, with segments', 'begun', 'answered']);
});
