import { equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { BlockError } from '../../../src/block/block-error.ts';
import type { CrashingFs } from '../../support/crashing-fs.ts';
import { seeded } from '../../support/random.ts';
import { type Contents, contentsOf, put } from './damage.ts';
import { contents, writeAll } from './filled.ts';
import { open, prepared, type Rig, rig } from './rig.ts';

// A copy of the disk that went on elsewhere has segments of the same numbers, session and keys.

/** Two copies of one overlay that both went on, each with its files. */
async function fork(seed: number) {
  const it = rig(seeded(seed), seed);
  const other = rig(seeded(seed), seed + 100);
  let disk = await prepared(it);
  await writeAll(disk, it, 0);
  disk = disk.kill();
  const before = await contentsOf(disk);
  let copy = disk.copy(seeded(seed));
  await writeAll(disk, it, 50);
  await writeAll(copy, other, 90);
  [disk, copy] = [disk.kill(), copy.kill()];
  const mine = { disk, files: await contentsOf(disk), expected: await read(disk, it) };
  const theirs = { disk: copy, files: await contentsOf(copy), expected: await read(copy, other) };
  return { it, other, before, mine, theirs };
}

async function read(disk: CrashingFs, it: Rig): Promise<string> {
  return (await contents(disk.copy(seeded(1)), { ...it, damage: [] })).all;
}

/** Segments that only one of two copies has like this. */
function changed(files: Contents, other: Contents): string[] {
  return [...files.keys()].filter((name) => {
    const bytes = other.get(name);
    return name.endsWith('.seg') && !(bytes && Buffer.from(files.get(name)!).equals(bytes));
  });
}

/** Puts segments of `from`, with their summaries, in the place of those of the same number. */
function taken(files: Contents, from: Contents, names: readonly string[]): Contents {
  const now = new Map(files);
  for (const name of names.flatMap((it) => [it, it.replace('.seg', '.sum')])) {
    now.delete(name);
    if (from.has(name)) now.set(name, from.get(name)!);
  }
  return now;
}

test('a segment of a copy of the session that went on elsewhere is refused', async () => {
  let refused = 0;
  for (const seed of [1, 2, 3, 4]) {
    const { it, mine, theirs } = await fork(seed);
    const names = changed(mine.files, theirs.files).filter((name) => theirs.files.has(name));
    ok(names.length > 2, names.join());
    for (const count of [1, 2]) {
      for (let at = 0; at + count <= names.length; at++) {
        const some = names.slice(at, at + count);
        const copy = mine.disk.copy(seeded(1));
        await put(copy, mine.files, taken(mine.files, theirs.files, some));
        const damage: string[] = [];
        const where = `seed ${seed}: ${some.join()} of another copy`;
        try {
          equal((await contents(copy, { ...it, damage })).all, mine.expected, where);
        } catch (cause) {
          if (!(cause instanceof BlockError)) throw cause;
          equal(cause.code, 'CORRUPT', where);
          match(
            cause.message,
            /vda\.\d+\.seg: not all of segments \d+ to \d+ are those that it lists/,
          );
          refused++;
        }
      }
    }
  }
  ok(refused > 16, `${refused} were refused`);
});

test('a segment that was freed is not missed, nor read where its file is there again', async () => {
  let count = 0;
  for (const seed of [1, 2, 3, 4]) {
    const { it, before, mine } = await fork(seed);
    const gone = [...before.keys()].filter(
      (name) => name.endsWith('.seg') && !mine.files.has(name),
    );
    for (const name of gone) {
      const copy = mine.disk.copy(seeded(1));
      await put(copy, mine.files, taken(mine.files, before, [name]));
      equal((await contents(copy, { ...it, damage: [] })).all, mine.expected, name);
      count++;
    }
  }
  ok(count > 0);
});

test('all of a copy of the session is that copy, as it was', async () => {
  const { it, other, mine, theirs } = await fork(2);
  const copy = mine.disk.copy(seeded(1));
  await put(copy, mine.files, theirs.files);
  equal(await read(copy, other), theirs.expected);
  // A part of one and a part of the other is neither.
  const names = changed(mine.files, theirs.files);
  const half = mine.disk.copy(seeded(1));
  await put(half, mine.files, taken(mine.files, theirs.files, names.slice(1)));
  await rejects(open(half.files, it), { code: 'CORRUPT' });
});
