import { equal, ok } from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { levelIndex } from '../../../src/store/index/block-index.ts';
import { levelOptions, openLevel } from '../../../src/store/index/level-db.ts';
import { KiB, MiB } from '../../../src/lib/sizes.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const DIGEST_LENGTH = 32;
const FRAMES = 2000;

const entriesOf = (pack: number) => {
  const digests = noise(FRAMES * DIGEST_LENGTH, pack);
  return Array.from({ length: FRAMES }, (_, n) => ({
    digest: digests.subarray(n * DIGEST_LENGTH, (n + 1) * DIGEST_LENGTH),
    ...{ offset: 4096 + n * 100, length: 100 },
  }));
};

/** Tables that are mapped into this process. */
const mapped = (directory: string): string[] =>
  readFileSync('/proc/self/maps', 'latin1')
    .split('\n')
    .filter((line) => line.includes(directory) && line.endsWith('.ldb'));

test('what is looked up in an index is not mapped into memory, and few of its files are open', async () => {
  const directory = join(temporaryDirectory(), 'block-index');
  // The least that a service may have.
  const memory = 32 * MiB;
  {
    await using index = await levelIndex(directory, memory);
    for (let pack = 1; pack <= 100; pack++) {
      const known = { pack, size: 1, isSound: true };
      await index.addPack(known, entriesOf(pack));
    }
  }
  await using index = await levelIndex(directory, memory);
  for (const pack of [1, 50, 100]) {
    for (const { digest, offset } of entriesOf(pack)) equal(index.get(digest)?.offset, offset);
  }
  for (const { digest } of entriesOf(101)) equal(index.get(digest), undefined);
  ok(readdirSync(directory).filter((name) => name.endsWith('.ldb')).length > 1);
  equal(mapped(directory).length, 0);
});

test('whatever the memory, and also where LevelDB maps its tables, the bound is kept', async () => {
  for (const memory of [32 * MiB, 128 * MiB, 4096 * MiB]) {
    for (const [isMapped, table] of [
      [false, 80 * KiB],
      [true, 2 * MiB],
    ] as const) {
      const { cacheSize, writeBufferSize, maxOpenFiles } = levelOptions(memory, isMapped);
      const most = cacheSize + 2 * writeBufferSize + (maxOpenFiles - 10) * table;
      // LevelDB has at least 64 tables open: 128 MiB, if they are mapped.
      ok(most <= Math.max(memory, isMapped ? 160 * MiB : 0), `${memory} ${isMapped}: ${most}`);
      ok(maxOpenFiles >= 74);
    }
  }
});

test('two maps of one process are open at once', async () => {
  const home = temporaryDirectory();
  const open = (name: string) => openLevel(join(home, name), { memory: MiB, isShared: false });
  await using first = await open('first');
  await using second = await open('second');
  await first.put(Uint8Array.of(1), Uint8Array.of(2));
  equal(second.getSync(Uint8Array.of(1)), undefined);
  equal(first.getSync(Uint8Array.of(1))?.[0], 2);
});
