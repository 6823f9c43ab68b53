import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'tap';
import { contentsOf, put } from './damage.ts';
import { contents, writeAll } from './filled.ts';
import { open, prepared, rig } from './rig.ts';
import { seeded } from '../../support/random.ts';
import type { CrashingFs } from '../../support/crashing-fs.ts';

/** Where a summary's first slot has its body. */
const BODY_AT = 4136;

async function alterSummaries(
  disk: CrashingFs,
  alter: (bytes: Uint8Array) => Uint8Array | undefined,
): Promise<number> {
  const before = await contentsOf(disk);
  const now = new Map(before);
  let count = 0;
  for (const [name, bytes] of before) {
    if (!name.endsWith('.sum')) continue;
    const altered = alter(bytes.slice());
    if (altered) now.set(name, altered);
    else now.delete(name);
    count++;
  }
  await put(disk, before, now);
  return count;
}

function flipped(bytes: Uint8Array): Uint8Array {
  bytes[BODY_AT + 90]! ^= 1;
  return bytes;
}

for (const { what, alter } of [
  { what: 'rots', alter: flipped },
  { what: 'is lost', alter: () => undefined },
]) {
  test(`an overlay whose every summary ${what} goes on as before`, async () => {
    for (const seed of [1, 2]) {
      const it = rig(seeded(seed), seed);
      let disk = await prepared(it);
      for (let life = 0; life < 3; life++) {
        await writeAll(disk, it, life * 50);
        // Some end without a word.
        disk = life === 1 ? disk.reboot() : disk.kill();
        await contents(disk, it);
        // This one does so before its first flush.
        if (life === 0) {
          await open(disk.files, it);
          disk = disk.kill();
        }
      }
      const { all: expected } = await contents(disk, it);
      it.damage.length = 0;
      const count = await alterSummaries(disk, alter);
      equal(count > 3, true, `${count} summaries`);
      const { all, readOnly } = await contents(disk, it);
      equal(readOnly, undefined);
      equal(all, expected);
      for (const told of it.damage) match(told, /the segment itself is read instead$/);
      equal(it.damage.length, alter === flipped ? count : 0);
    }
  });
}

test('a summary of a copy of the overlay that went on elsewhere is not believed', async () => {
  for (const seed of [1, 2]) {
    const it = rig(seeded(seed), seed);
    let disk = await prepared(it);
    await writeAll(disk, it, 0);
    disk = disk.kill();
    // Restored twice from the same files: both number their segments alike from here on.
    const other = rig(seeded(seed), seed + 100);
    let fork = disk.copy(seeded(seed));
    const before = new Set((await contentsOf(disk)).keys());
    await writeAll(disk, it, 50);
    await writeAll(fork, other, 90);
    [disk, fork] = [disk.kill(), fork.kill()];
    await contents(fork, other);
    const { all: expected } = await contents(disk, it);
    const mine = await contentsOf(disk);
    const now = new Map(mine);
    let count = 0;
    for (const [name, bytes] of await contentsOf(fork)) {
      if (!name.endsWith('.sum') || before.has(name) || !mine.has(name)) continue;
      now.set(name, bytes);
      count++;
    }
    equal(count > 0, true, 'segments of which both have a summary');
    await put(disk, mine, now);
    it.damage.length = 0;
    const { all, readOnly } = await contents(disk, it);
    equal(readOnly, undefined);
    equal(all, expected);
    for (const told of it.damage)
      match(told, /fails its seal; the segment itself is read instead$/);
    equal(it.damage.length, count);
    // They were made again.
    it.damage.length = 0;
    equal((await contents(disk, it)).all, expected);
    deepEqual(it.damage, []);
  }
});
