import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import { BlockError } from '../../../src/block/block-error.ts';
import { seeded } from '../../support/random.ts';
import { type Contents, contentsOf, put } from './damage.ts';
import { contents, renumbered, withPrefaces, writeAll } from './filled.ts';
import { DISK, HOME, open, prepared, rig } from './rig.ts';

// An attacker with write access to the disk gives segments other numbers, which decide which of two versions is newer.

/** Two lives, the second one on top of the first; killed, after a third one for odd seeds, which wrote nothing. */
async function twoLives(seed: number) {
  const it = rig(seeded(seed), seed);
  let disk = await prepared(it);
  await writeAll(disk, it, 0);
  await writeAll(disk, it, 50);
  if (seed % 2 === 1) await contents(disk, it);
  disk = disk.kill();
  const { all: expected } = await contents(disk.copy(seeded(1)), it);
  const files = await contentsOf(disk);
  const numbers = [...files.keys()].flatMap((name) => /\.(\d+)\.seg$/.exec(name)?.[1] ?? []);
  ok(numbers.length > 2, numbers.join());
  return { it, disk, expected, files, numbers: numbers.map(Number) };
}

function nameOf(number: number, ending: 'seg' | 'sum'): string {
  return `${DISK}.${String(number).padStart(8, '0')}.${ending}`;
}

function exchange(now: Contents, one: number, other: number, summaries: 'moved' | 'removed'): void {
  const before = new Map(now);
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    now.set(nameOf(to, 'seg'), renumbered(before.get(nameOf(from, 'seg'))!, to));
    const summary = before.get(nameOf(from, 'sum'));
    now.delete(nameOf(to, 'sum'));
    if (summary && summaries === 'moved') now.set(nameOf(to, 'sum'), renumbered(summary, to));
  }
}

test('two segments that exchange their numbers, with their summaries or without, are refused by name', async () => {
  let refused = 0;
  for (const seed of [1, 2]) {
    const { it, disk, expected, files, numbers } = await twoLives(seed);
    for (const [at, one] of numbers.entries()) {
      for (const other of numbers.slice(at + 1)) {
        for (const summaries of ['moved', 'removed'] as const) {
          const copy = disk.copy(seeded(1));
          const now = new Map(files);
          exchange(now, one, other, summaries);
          await put(copy, files, now);
          const where = `seed ${seed}: ${one} and ${other}, summaries ${summaries}`;
          try {
            const { all } = await contents(copy, { ...it, damage: [] });
            // Neither of them held anything but its birth.
            equal(all, expected, where);
          } catch (cause) {
            if (!(cause instanceof BlockError)) throw cause;
            equal(cause.code, 'CORRUPT', where);
            match(
              cause.message,
              /vda\.\d+\.seg contains no slot that opens: .* was written to/,
              where,
            );
            refused++;
          }
        }
      }
    }
  }
  ok(refused > 10, `${refused} were refused`);
});

test('what an earlier version of the format sealed is refused by the number of the version', async () => {
  const { it, disk, files, numbers } = await twoLives(1);
  const now = new Map(files);
  for (const number of numbers) {
    const name = nameOf(number, 'seg');
    const earlier = (preface: Uint8Array): Uint8Array => {
      preface[4] = 2;
      const view = new DataView(preface.buffer);
      view.setUint32(44, crc32(preface.subarray(0, 44)), true);
      return preface;
    };
    now.set(name, withPrefaces(files.get(name)!, earlier));
  }
  await put(disk, files, now);
  const message = /vda\.\d+\.seg: preface .* version 2: this release does not read it\. Open/;
  await rejects(open(disk.files, it), { code: 'CORRUPT', message });
  deepEqual([...(await contentsOf(disk)).keys()], [...now.keys()]);
});

test('a file whose number is far off uses up no numbers', async () => {
  for (const stray of [2 ** 32 - 1, 2 ** 32 - 2, 2 ** 32, 9_999_999_999, 2 ** 20]) {
    const { it, disk, expected, numbers } = await twoLives(1);
    await (await disk.files.create(`${HOME}/${nameOf(stray, 'seg')}`))[Symbol.asyncDispose]();
    for (let time = 0; time < 2; time++) equal((await contents(disk, it)).all, expected);
    await writeAll(disk, it, 90);
    const found = [...(await contentsOf(disk)).keys()];
    const last = Math.max(...numbers) + 20;
    for (const name of found) {
      const number = Number(/\.(\d+)\.seg$/.exec(name)?.[1] ?? 0);
      ok(number < last || number >= 2 ** 32, `${stray}: ${name}`);
    }
    deepEqual(it.damage, []);
  }
});
