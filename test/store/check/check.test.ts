import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import { checkPacks, manifestChecker } from '../../../src/store/check/check.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import type { World } from '../../../src/sys/world.ts';
import { noise } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';

const SIZE = 2 ** 20;

async function place(passphrase?: string) {
  const world = simulatedWorld();
  const { store, set } = await newStore(world, passphrase === undefined ? {} : { passphrase });
  const point = await storePoint(store, set, noise(SIZE, 1), { packLength: 2 ** 18 });
  return { world, set, point, keysOf: () => set.keys };
}
type Place = Awaited<ReturnType<typeof place>>;

/** What a check says, contents read or not, with a store that is opened for it. */
async function check({ world, set, point, keysOf }: Place, readData: boolean): Promise<string[]> {
  await using store = await openStore(world, HOME);
  const found: string[] = [];
  const onProblem = ({ where, what }: { where: string; what: string }): void =>
    void found.push(`${where}: ${what}`);
  const options = { readData, keysOf, signal: undefined, onProgress() {}, onProblem };
  await checkPacks(store.packs, options);
  const checker = manifestChecker(store.packs, set.keys, onProblem);
  await checker.check(point.disks[0]!, 'vm/vda');
  return found;
}

async function withStore<T>(world: World, work: (store: Store) => Promise<T>): Promise<T> {
  await using store = await openStore(world, HOME);
  return await work(store);
}

/** Numbers of the packs of blocks, and of the one that holds the root of the disk. */
async function numbers(world: World, point: PointRecord) {
  const all = await withStore(world, ({ packs }) => packs.list());
  const nodes = point.disks[0]!.reference!.pack;
  return { blocks: all.filter((pack) => pack !== nodes), nodes };
}
const pathOf = (world: World, pack: number) =>
  withStore(world, async ({ packs }) => packs.path(pack));

async function rewrite(files: FileSystem, path: string, bytes: Uint8Array): Promise<void> {
  await using file = await files.open(path, 'write');
  await file.write(bytes, 0);
}

test('a sound store has no problems', async () => {
  for (const passphrase of [undefined, 'secret']) {
    const it = await place(passphrase);
    deepEqual(await check(it, true), []);
    deepEqual(await check(it, false), []);
  }
});

test('each block whose pack is gone is missed, and so is a manifest', async () => {
  const it = await place();
  const { blocks, nodes } = await numbers(it.world, it.point);
  ok(blocks.length > 2);
  const lost = await withStore(
    it.world,
    async ({ packs }) => (await packs.footer(blocks[0]!)).entries,
  );
  await it.world.files.unlink(await pathOf(it.world, blocks[0]!));
  const found = await check(it, false);
  equal(
    found.filter((line) => /^vm\/vda: block [0-9a-f]{16} is missing/.test(line)).length,
    lost.length,
  );
  await it.world.files.unlink(await pathOf(it.world, nodes));
  match((await check(it, false)).join('\n'), /^vm\/vda: manifest node in pack \d+ at \d+: /m);
});

test('a pack under the name of another one is found', async () => {
  const it = await place();
  const { blocks } = await numbers(it.world, it.point);
  const [first, second] = [await pathOf(it.world, blocks[0]!), await pathOf(it.world, blocks[1]!)];
  await it.world.files.rename(first, `${first}.away`);
  await it.world.files.rename(second, first);
  await it.world.files.rename(`${first}.away`, second);
  const found = await check(it, false);
  ok(found.includes(`${first}: it says that it is pack ${blocks[1]}`), found.join('\n'));
  ok(found.includes(`${second}: it says that it is pack ${blocks[0]}`), found.join('\n'));
});

test('whole frames that lie where others belong are found, with keys and without', async () => {
  for (const keys of ['with', 'without']) {
    const it = await place('secret');
    const { blocks } = await numbers(it.world, it.point);
    const path = await pathOf(it.world, blocks[0]!);
    const { entries } = await withStore(it.world, ({ packs }) => packs.footer(blocks[0]!));
    const [a, b] = entries.flatMap((one, at) => {
      const twin = entries.slice(at + 1).find(({ length }) => length === one.length);
      return twin ? [one, twin] : [];
    });
    ok(a && b, 'two frames of one length');
    const bytes = await it.world.files.readFile(path, 2 ** 20);
    const swapped = bytes.slice();
    swapped.set(bytes.subarray(b.offset, b.offset + b.length), a.offset);
    swapped.set(bytes.subarray(a.offset, a.offset + a.length), b.offset);
    await rewrite(it.world.files, path, swapped);
    const found = await check(keys === 'with' ? it : { ...it, keysOf: () => undefined! }, true);
    const wrong = found.filter((line) => line.includes('another digest than the footer says'));
    equal(wrong.length, 2, found.join('\n'));
  }
});

test('a byte of contents that is wrong is found where contents are read', async () => {
  const it = await place();
  const { blocks } = await numbers(it.world, it.point);
  const path = await pathOf(it.world, blocks[0]!);
  const bytes = await it.world.files.readFile(path, 2 ** 20);
  const damaged = bytes.slice();
  damaged[1000]! ^= 1;
  await rewrite(it.world.files, path, damaged);
  deepEqual(await check(it, false), []);
  match((await check(it, true)).join('\n'), /at 32: frame contents fail their checksum/);
});

test('a reference list that is damaged is found, and by a check that reads one that its nodes contradict', async () => {
  for (const passphrase of [undefined, 'secret']) {
    const it = await place(passphrase);
    const { nodes } = await numbers(it.world, it.point);
    const { path, list } = await withStore(it.world, async ({ packs }) => ({
      path: packs.references.path(nodes),
      list: (await packs.references.of(nodes, 100))!,
    }));
    const flipped = list.with(list.length - 10, list[list.length - 10]! ^ 1);
    await rewrite(it.world.files, path, flipped);
    const defect = 'reference list fails its checksum';
    const damaged = `${path}: ${defect}; the next sweep that has the key of its set writes it again`;
    deepEqual(await check(it, false), [damaged]);
    deepEqual(await check(it, true), [damaged]);

    new DataView(flipped.buffer).setUint32(
      list.length - 4,
      crc32(flipped.subarray(0, list.length - 4)),
      true,
    );
    await rewrite(it.world.files, path, flipped);
    deepEqual(await check(it, false), []);
    const [wrong, ...others] = await check(it, true);
    match(wrong ?? '', /\.refs: it is not what the nodes of its pack say/);
    deepEqual(others, []);

    await it.world.files.unlink(path);
    deepEqual(await check(it, true), []);
  }
});
