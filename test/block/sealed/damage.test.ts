import { ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { PLACE_LENGTH } from '../../../src/formats/store/sessions/overlay-log.ts';
import { seeded } from '../../support/random.ts';
import { CHANGES, otherSuite } from './changes.ts';
import { contentsOf, damage, type Finds, put } from './damage.ts';
import { bytesOf } from './oracle.ts';
import { open, PAGE, PLACES, prepared, rig } from './rig.ts';

// Whatever the holder of the disk, or its rot, does to a sealed overlay: right bytes, or an error that names the page.

const SEEDS = Number(process.env['SEEDS'] ?? 3);
const SEED = Number(process.env['SEED'] ?? 1);
const timeout = 300_000;

function finds(): Finds {
  return { harmless: 0, told: 0, refused: 0, unproven: 0 };
}

test('what is flipped, cut, removed, swapped or put back reads right or is reported', {
  timeout,
}, async (t) => {
  const found = finds();
  for (let seed = SEED; seed < SEED + 6 * SEEDS; seed++) await damage(seed, 25, CHANGES, found);
  t.comment(JSON.stringify(found));
  ok(found.told > 0 && found.refused > 0 && found.harmless > 0);
});

test('the backup set says whether an overlay is encrypted, not its files', {
  timeout,
}, async () => {
  for (let seed = SEED; seed < SEED + 4; seed++) {
    const random = seeded(seed);
    const it = rig(random, seed);
    const disk = await prepared(it);
    await (await open(disk.files, it))[Symbol.asyncDispose]();
    for (let n = 0; n < 4; n++) {
      const copy = disk.copy(random);
      const before = await contentsOf(copy);
      const now = new Map([...before].map(([name, bytes]) => [name, bytes.slice()]));
      otherSuite(now, random, before);
      await put(copy, before, now);
      const message = /vda.* is (not )?encrypted, but the backup set is /;
      await rejects(open(copy.files, it), { code: 'CORRUPT', message });
    }
  }
});

test('segments whose prefaces are broken are not taken for left over where guests wrote into them', {
  timeout,
}, async () => {
  for (let seed = SEED; seed < SEED + 4; seed++) {
    const it = rig(seeded(seed), seed);
    const disk = await prepared(it);
    {
      await using overlay = await open(disk.files, it);
      await overlay.write(bytesOf(1, 0, 8 * PAGE), 0, 'durable');
    }
    const before = await contentsOf(disk);
    const newest = [...before.keys()].filter((name) => name.endsWith('.seg')).slice(-2);
    const now = new Map([...before].map(([name, bytes]) => [name, bytes.slice()]));
    if (seed % 2 === 0) {
      now.set(newest[0]!, before.get(newest[1]!)!.slice());
      now.set(newest[1]!, before.get(newest[0]!)!.slice());
    } else {
      const ends = [0, (PLACES - 1) * PLACE_LENGTH];
      for (const name of newest) for (const at of ends) now.get(name)!.fill(0, at, at + 48);
    }
    await put(disk, before, now);
    const message = /vda\.[0-9a-f]{8}\.seg begins and ends with what is not a preface/;
    await rejects(open(disk.files, it), { code: 'CORRUPT', message });
  }
});
