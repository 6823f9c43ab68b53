import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import type { OpenSet } from '../../../src/catalog/sets.ts';
import { frameCodec } from '../../../src/formats/store/packs/frame.ts';
import type { Reference } from '../../../src/formats/store/packs/node.ts';
import type { PointRecord } from '../../../src/formats/store/catalog/point.ts';
import { nodeReader } from '../../../src/store/nodes/node-reader.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import { beginMarking, type Marking } from '../../../src/store/sweep/mark.ts';
import type { Root } from '../../../src/store/directory/roots.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { noise } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';

const SIZE = 3 * 2 ** 20;
const PACK_LENGTH = 2 ** 20;
const FIRST = noise(SIZE, 1);
const SECOND = FIRST.slice();
SECOND.set(noise(400_000, 2), 2 ** 20 + 777);

async function place(passphrase?: string) {
  const world = simulatedWorld();
  const { store, set } = await newStore(world, passphrase === undefined ? {} : { passphrase });
  const first = await storePoint(store, set, FIRST, { packLength: PACK_LENGTH });
  const second = await storePoint(store, set, SECOND, { packLength: PACK_LENGTH });
  return { world, set, first, second };
}

function rootsOf(set: OpenSet, points: readonly PointRecord[]): Root[] {
  const domain = Buffer.from(set.record.domain).toString('hex');
  return points.flatMap(({ id, disks }) =>
    disks.flatMap(({ reference }) =>
      reference ? [{ domain, place: reference, where: `point ${id}` }] : [],
    ),
  );
}

async function marked(store: Store, roots: readonly Root[]): Promise<Marking> {
  const marking = beginMarking(store.packs);
  await marking.add(roots);
  return marking;
}

/** Places of all frames that a point needs, found with its keys, by `pack:offset`. */
async function needed(store: Store, set: OpenSet, point: PointRecord) {
  const nodes = nodeReader(store.packs, frameCodec(set.keys));
  const found = { nodes: new Set<string>(), blocks: new Set<string>() };
  async function walk(reference: Reference): Promise<void> {
    found.nodes.add(`${reference.pack}:${reference.offset}`);
    const { level, entries } = await nodes.node(reference);
    for (const entry of entries) {
      if (level > 0) await walk(entry);
      else found.blocks.add(`${entry.pack}:${entry.offset}`);
    }
  }
  await walk(point.disks[0]!.reference!);
  return found;
}

/** All frames of the store that are marked, by `pack:offset`. */
async function live(store: Store, { live: frames }: Marking) {
  const found = { nodes: new Set<string>(), blocks: new Set<string>() };
  for (const pack of await store.packs.list()) {
    const { header, entries } = await store.packs.footer(pack);
    const { kind } = header;
    for (const { offset } of entries) {
      if (!frames.has(kind, { pack, offset })) continue;
      found[kind === 'node' ? 'nodes' : 'blocks'].add(`${pack}:${offset}`);
    }
  }
  return found;
}

const withStore = async <T>(
  { world }: Awaited<ReturnType<typeof place>>,
  work: (store: Store) => Promise<T>,
): Promise<T> => {
  await using store = await openStore(world, HOME);
  return await work(store);
};

async function flip(files: FileSystem, path: string): Promise<void> {
  await using file = await files.open(path, 'write');
  const byte = new Uint8Array(1);
  await file.read(byte, 20);
  await file.write(
    byte.map((it) => it ^ 1),
    20,
  );
}

test('exactly the frames that the points need are marked, without any key', async () => {
  for (const passphrase of [undefined, 'secret']) {
    const it = await place(passphrase);
    await withStore(it, async (store) => {
      const all = await live(store, await marked(store, rootsOf(it.set, [it.first, it.second])));
      for (const points of [[it.first], [it.second], [it.first, it.second]]) {
        const marking = await marked(store, rootsOf(it.set, points));
        deepEqual(marking.obstacles, []);
        const found = await live(store, marking);
        const want = { nodes: new Set<string>(), blocks: new Set<string>() };
        for (const point of points) {
          const { nodes, blocks } = await needed(store, it.set, point);
          for (const key of nodes) want.nodes.add(key);
          for (const key of blocks) want.blocks.add(key);
        }
        deepEqual(found.nodes, want.nodes);
        // Blocks of noise are longer than the 2 KiB by which they are told apart.
        deepEqual(found.blocks, want.blocks);
        if (points.length === 1) ok(found.blocks.size < all.blocks.size);
      }
    });
  }
});

test('what a later list of points needs is added to what was marked', async () => {
  const it = await place();
  await withStore(it, async (store) => {
    const marking = await marked(store, rootsOf(it.set, [it.first]));
    await marking.add(rootsOf(it.set, [it.first, it.second]));
    const both = await marked(store, rootsOf(it.set, [it.first, it.second]));
    deepEqual(await live(store, marking), await live(store, both));
    deepEqual(marking.obstacles, []);
  });
});

test('frames that were stored again are needed at their new places', async () => {
  const it = await place('secret');
  const lost = await withStore(it, async (store) => {
    const { blocks } = await needed(store, it.set, it.first);
    const packs = [...blocks].map((key) => Number(key.split(':')[0]));
    return [...new Set(packs)].map((pack) => ({ pack, path: store.packs.path(pack) }));
  });
  ok(lost.length > 1);
  for (const { path } of lost) await it.world.files.unlink(path);
  await withStore(it, (store) => storePoint(store, it.set, FIRST, { packLength: PACK_LENGTH }));
  await withStore(it, async (store) => {
    const marking = await marked(store, rootsOf(it.set, [it.first]));
    deepEqual(marking.obstacles, []);
    const found = await live(store, marking);
    const { blocks } = await needed(store, it.set, it.first);
    let moved = 0;
    for (const key of blocks) {
      const [pack, offset] = key.split(':').map(Number);
      const to = await store.packs.moved.next({ pack: pack!, offset: offset! });
      if (!to) continue;
      moved++;
      ok(found.blocks.has(`${to.pack}:${to.offset}`), key);
    }
    ok(moved > 10, `${moved} have moved`);
  });
});

test('a pack of nodes that is gone or damaged, or whose list is, is an obstacle that says which', async () => {
  const what: Record<string, (store: Store, pack: number, files: FileSystem) => Promise<void>> = {
    'is missing': ({ packs }, pack, files) => files.unlink(packs.path(pack)),
    'it has no list of references yet': ({ packs }, pack, files) =>
      files.unlink(packs.references.path(pack)),
    'reference list fails its checksum': ({ packs }, pack, files) =>
      flip(files, packs.references.path(pack)),
    'pack header fails its checksum': ({ packs }, pack, files) => flip(files, packs.path(pack)),
  };
  for (const [message, harm] of Object.entries(what)) {
    const it = await place();
    const { pack } = it.first.disks[0]!.reference!;
    await withStore(it, (store) => harm(store, pack, it.world.files));
    await withStore(it, async (store) => {
      const { obstacles } = await marked(store, rootsOf(it.set, [it.first]));
      equal(obstacles.length, 1, message);
      match(obstacles[0]!.what, new RegExp(message));
      ok(message === 'is missing' || obstacles[0]!.where === store.packs.path(pack));
      equal(obstacles[0]!.unlisted, message === 'is missing' ? undefined : pack);
    });
  }
});

test('a node that is not in the list of its pack, or in no pack at all, is an obstacle', async () => {
  const it = await place();
  await withStore(it, async (store) => {
    const [root] = rootsOf(it.set, [it.first]);
    for (const wrong of [
      { ...root!.place, offset: root!.place.offset + 64 },
      { ...root!.place, pack: 77 },
      { ...root!.place, pack: 2 ** 32 - 1 },
      { ...root!.place, offset: 2 ** 32 - 1 },
    ]) {
      const { obstacles } = await marked(store, [{ ...root!, place: wrong }]);
      equal(obstacles.length, 1, JSON.stringify(wrong));
    }
  });
});

test('a list of moved frames that is damaged is an obstacle to every domain', async () => {
  const it = await place();
  const path = await withStore(it, async ({ packs }) => {
    await packs.moved.add(1, new Map([[32, { pack: 2, offset: 32, length: 100 }]]));
    return packs.moved.path(1);
  });
  await flip(it.world.files, path);
  await withStore(it, async (store) => {
    const { obstacles } = await marked(store, rootsOf(it.set, [it.first]));
    deepEqual(
      obstacles.map(({ where }) => where),
      [path],
    );
  });
});
