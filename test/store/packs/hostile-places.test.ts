import { deepEqual, equal, notDeepEqual, ok, rejects, throws } from 'node:assert/strict';
import { basename, dirname } from 'node:path/posix';
import { test } from 'tap';
import { digestKey } from '../../../src/formats/store/base/digest.ts';
import { FRAME_LENGTH_MAX, frameCodec } from '../../../src/formats/store/packs/frame.ts';
import { decodeMoved, encodeMoved } from '../../../src/formats/store/packs/moved.ts';
import type { Location } from '../../../src/formats/store/packs/node.ts';
import { PACK_HEADER_LENGTH } from '../../../src/formats/store/packs/pack.ts';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import { decodeWanted } from '../../../src/formats/store/packs/wanted.ts';
import { memoryIndex } from '../../../src/store/index/block-index.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { checkPacks, manifestChecker } from '../../../src/store/check/check.ts';
import { healing } from '../../../src/store/index/healing.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { nodeReader } from '../../../src/store/nodes/node-reader.ts';
import { takeStock } from '../../../src/store/index/stock.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import { lockStore } from '../../../src/store/directory/store-lock.ts';
import { writerOn } from '../../../src/store/write/store-writer.ts';
import { sortedKeys, trustData } from '../../../src/store/packs/trust.ts';
import { wantedMarks } from '../../../src/store/packs/wanted-marks.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { readAll } from '../../block/conformance.ts';
import { noise } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, storeDisk, storePoint } from '../../support/store.ts';

const MiB = 2 ** 20;
const PACKS = `${HOME}/packs`;
const contents = noise(2 * MiB, 1);

async function place() {
  const world = simulatedWorld();
  const { set } = await newStore(world, {});
  const { files } = world;
  /** Each opens the store again, and always rebuilds its index. */
  async function using<T>(work: (store: Store) => Promise<T>): Promise<T> {
    await using store = await openStore(world, HOME);
    return await work(store);
  }
  async function put(path: string, bytes: Uint8Array): Promise<void> {
    await files.makeDirectory(dirname(path));
    if (await files.stat(path)) await files.unlink(path);
    await using file = await files.create(path);
    await file.write(bytes, 0);
  }
  return {
    ...{ world, files, set, using, put },
    backUp: (changed = contents, parent?: PointRecord) =>
      using((store) => {
        const disks = new Map([['vda', [{ offset: 0, length: 1 }]]]);
        const list = parent && { changed: { since: parent.id, disks } };
        return storePoint(store, set, changed, { packLength: MiB, ...list });
      }),
    isWhole: ({ disks: [root] }: PointRecord, wanted = contents) =>
      using(async (store) => {
        await using reader = openBlockReader(store, {});
        await using disk = manifestDisk(reader, { name: 'vda', root: root!, keys: set.keys });
        equal(Buffer.compare(await readAll(disk), wanted), 0);
      }),
    check: (readData: boolean) =>
      using(async ({ packs }) => {
        const found: string[] = [];
        await checkPacks(packs, {
          ...{ readData, keysOf: () => set.keys, signal: undefined, onProgress() {} },
          onProblem: ({ what }) => void found.push(what),
        });
        return found;
      }),
    firstFrame: (pack: number) =>
      using(async ({ packs }) => (await packs.footer(pack)).entries[0]!),
    marks: () => using(({ packs }) => packs.wanted.list()),
  };
}

const pathOf = (pack: number, kind = 'pack') =>
  `${PACKS}/${String(Math.floor(pack / 1000)).padStart(5, '0')}/${String(pack).padStart(8, '0')}.${kind}`;

test('numbers far from those of all packs do not decide what the next pack is called', async () => {
  const it = await place();
  await it.backUp();
  const { digest } = await it.firstFrame(1);
  const junk = noise(100, 2);
  for (const kind of ['pack', 'moved']) await it.put(pathOf(99_999_999, kind), junk);
  await it.put(
    `${HOME}/wanted/98000000-0000000032-${Buffer.from(digest).toString('hex')}`,
    new Uint8Array(),
  );
  const other = noise(2 * MiB, 3);
  const point = await it.backUp(other);
  const again = await it.backUp();
  await it.isWhole(point, other);
  await it.isWhole(again);
  const numbers = await it.using(({ packs }) => packs.list());
  deepEqual(
    numbers.filter((pack) => pack > 100),
    [99_999_999],
  );
  ok(!(await it.files.stat(`${PACKS}/98000`)), 'nothing is written beside a pack that never was');
});

test('a mark behind the end of any pack moves nothing', async () => {
  const it = await place();
  await it.backUp();
  const { digest } = await it.firstFrame(1);
  const hex = Buffer.from(digest).toString('hex');
  equal(decodeWanted(`00000001-${2 ** 32 + PACK_HEADER_LENGTH}-${hex}`), undefined);
  for (const offset of [2 ** 32 + PACK_HEADER_LENGTH, 2 ** 27]) {
    const name = `00000001-${String(offset).padStart(10, '0')}-${hex}`;
    await it.put(`${HOME}/wanted/${name}`, new Uint8Array());
  }
  await it.backUp();
  ok(!(await it.files.stat(pathOf(1, 'moved'))));
});

test('a list of moved frames that leads to other contents keeps nothing from being read again', async () => {
  const it = await place();
  const point = await it.backUp();
  const { entries } = await it.using(({ packs }) => packs.footer(3));
  const { offset, length } = await it.firstFrame(2);
  await it.files.unlink(pathOf(3));
  const wrong = new Map(entries.map((entry) => [entry.offset, { pack: 2, offset, length }]));
  await it.put(pathOf(3, 'moved'), encodeMoved(3, { frames: wrong }));
  const next = await it.backUp(contents, point);
  await it.isWhole(next);
  await it.isWhole(point);
});

test('a moved frame is no longer than a frame can be', async () => {
  const encode = (length: number) =>
    encodeMoved(1, { frames: new Map([[32, { pack: 2, offset: 32, length }]]) });
  equal(decodeMoved(encode(FRAME_LENGTH_MAX), 1).frames.size, 1);
  throws(() => decodeMoved(encode(FRAME_LENGTH_MAX + 1), 1), { code: 'CORRUPT' });
});

test('an open pack beside the sealed one of its number leaves that as it is', async () => {
  const it = await place();
  const point = await it.backUp();
  await it.put(`${pathOf(1)}.open`, noise(1000, 4));
  await it.put(`${pathOf(point.disks[0]!.reference!.pack)}.open`, noise(1000, 5));
  await it.isWhole(await it.backUp());
  await it.isWhole(point);
});

test('moves of one pack that are written at once are all there', async () => {
  const it = await place();
  await it.backUp();
  await it.using(async (store) => {
    const trust = trustData([1, 2, 3], 10, sortedKeys([]));
    const healed = healing(store, {
      trust,
      hasLoss: true,
      writtenLast: 0,
      loss: undefined,
      marks: new Map(),
    });
    const to = (offset: number): Location => ({ pack: 1, offset, length: 100 });
    const written: Promise<void>[] = [];
    for (let offset = 1; offset <= 5; offset++) {
      healed.note(noise(32, offset), to(offset), [{ pack: 7, offset }]);
      written.push(healed.write(() => true));
    }
    await Promise.all(written);
    equal((await store.packs.moved.of(7)).size, 5);
    healed.note(noise(32, 6), to(6), [
      { pack: 10, offset: 6 },
      { pack: 0, offset: 6 },
    ]);
    equal(healed.waiting, 0, 'only packs that were there can have lost something');
  });
});

test('what was moved within a pack that is lost takes no memory, and a damaged list trusts no frame', async () => {
  const it = await place();
  const point = await it.backUp();
  const { offset, digest } = await it.firstFrame(3);
  await it.using(({ packs }) => packs.want({ pack: 3, offset, digest }));
  await it.backUp();
  const stock = () =>
    it.using((store) =>
      takeStock(store, memoryIndex()).then(({ trust, hasLoss }) => ({
        ...{ moved: trust.distrusted.length, hasLoss },
        isSound: (trust.sound[0]! & (1 << 3)) !== 0,
      })),
    );
  deepEqual(await stock(), { moved: 1, hasLoss: false, isSound: true });
  await it.put(pathOf(3, 'moved'), noise(50, 6));
  deepEqual(await stock(), { moved: 0, hasLoss: true, isSound: false });
  const next = await it.backUp(contents, point);
  equal(next.stats.readBytes, contents.length, 'all that may be lost is read again');
  await it.isWhole(next);
  const { moved, ...after } = await stock();
  deepEqual(after, { hasLoss: false, isSound: true });
  ok(moved > 1, 'all that was stored again');
  await it.files.unlink(pathOf(3));
  deepEqual(await stock(), { moved: 0, hasLoss: true, isSound: false });
});

test('a check removes the marks of what was stored again, also where the pack is lost', async () => {
  for (const lost of [false, true]) {
    const it = await place();
    await it.backUp();
    const { offset, digest } = await it.firstFrame(1);
    const mark = { pack: 1, offset, digest };
    await using file = await it.files.open(pathOf(1), 'write');
    await file.write(noise(100, 7), offset);
    if (lost) await it.files.unlink(pathOf(1));
    await it.using(({ packs }) => packs.want(mark));
    await it.backUp();
    equal((await it.marks()).length, 0);
    await it.using(({ packs }) => packs.want(mark));
    deepEqual(await it.check(false), []);
    equal((await it.marks()).length, 0);
  }
});

test('a node in memory answers only for its own digest', async () => {
  const it = await place();
  const { disks } = await it.backUp();
  const reference = disks[0]!.reference!;
  await it.using(async ({ packs }) => {
    const nodes = nodeReader(packs, frameCodec(it.set.keys));
    equal((await nodes.node(reference)).level, 1);
    const other = { ...reference, digest: noise(32, 8) };
    ok(digestKey(other.digest) !== digestKey(reference.digest));
    equal(nodes.tryNode(other, 'memory'), undefined);
    await rejects(nodes.node(other), { code: 'CORRUPT' });
  });
});

test('where there are too many marks a pack is marked once, and marks are not counted for each read', async () => {
  const { world, using } = await place();
  let counted = 0;
  const many = Array.from({ length: 65_536 }, (_, at) => `${at}`);
  const files: FileSystem = {
    ...world.files,
    async list(directory) {
      if (basename(directory) !== 'wanted') return world.files.list(directory);
      counted++;
      return many;
    },
  };
  const marks = wantedMarks(files, `${HOME}/wanted`);
  const digest = noise(32, 6);
  for (let n = 0; n < 100; n++) await marks.add({ pack: 1 + (n % 2), offset: 32 + n, digest });
  equal(counted, 2);
  deepEqual(
    await using(async ({ packs }) =>
      (await packs.wanted.list()).map(({ pack, frame }) => [pack, frame]),
    ),
    [
      [1, undefined],
      [2, undefined],
    ],
  );
});

test('a pack that is marked as a whole is a loss that is known, and is looked into once', async () => {
  const { backUp, put, using } = await place();
  await backUp();
  const stock = () => using((store) => takeStock(store, memoryIndex()));
  const before = await stock();
  await put(`${HOME}/wanted/00000001`, new Uint8Array());
  const { loss, hasLoss } = await stock();
  ok(hasLoss && loss);
  notDeepEqual(loss, before.loss);
  deepEqual((await stock()).loss, loss);
});

test('an index that names a wrong place in a sound pack harms no read, is found, and is mended', async () => {
  const it = await place();
  const other = await place();
  const wanted = noise(MiB, 9);
  await it.backUp();
  await other.backUp(wanted);
  const made = await it.using(async (store) => {
    const index = memoryIndex();
    const stock = await takeStock(store, index);
    // As an attacker with write access to the store would: the index is a cache without a key.
    const { offset, length } = await it.firstFrame(1);
    const { entries } = await other.using(({ packs }) => packs.footer(1));
    const { digest } = entries[0]!;
    await index.addPack({ pack: 1, size: 1, isSound: true }, [{ digest, offset, length }]);
    const lock = await lockStore(store, 'test');
    const { domain } = it.set.record;
    await using writer = await writerOn(store, { index, stock, lock }, { domain });
    const disk = await storeDisk(store, it.set, writer, wanted);
    await writer.commit();
    return disk;
  });
  const read = () =>
    it.using(async (store) => {
      await using reader = openBlockReader(store, {});
      const options = { name: 'vda', root: made, keys: it.set.keys };
      await using disk = manifestDisk(reader, options);
      return await readAll(disk);
    });
  await rejects(read(), { code: 'CORRUPT' });
  const found = await it.using(async ({ packs }) => {
    const said: string[] = [];
    const checker = manifestChecker(packs, it.set.keys, ({ what }) => void said.push(what));
    await checker.check(made, 'vm/vda');
    return said;
  });
  ok(found.length > 0 && found.every((what) => what.includes('is missing')), found.join());
  await it.backUp(wanted);
  equal(Buffer.compare(await read(), wanted), 0);
});
