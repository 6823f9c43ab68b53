import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { FRAME_LENGTH_MAX, frameCodec } from '../../../src/formats/store/packs/frame.ts';
import { encodeNode, type Node } from '../../../src/formats/store/packs/node.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { nodeReader } from '../../../src/store/nodes/node-reader.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import type { DiskRoot } from '../../../src/store/nodes/disk-root.ts';
import { readAll, readableDeviceConforms, sparsePattern } from '../../block/conformance.ts';
import { broken, faultyFs } from '../../support/faulty-fs.ts';
import { noise, pattern } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, simulatedWriter, storeDisk } from '../../support/store.ts';

const MiB = 2 ** 20;

/** Writes contents into a fresh store and opens them as a disk. */
async function roundTrip(contents: Uint8Array, passphrase?: string) {
  const world = simulatedWorld();
  const { store, set } = await newStore(world, passphrase === undefined ? {} : { passphrase });
  await using writer = await simulatedWriter(store, set);
  const root = await storeDisk(store, set, writer, contents);
  await writer.commit();
  const reader = openBlockReader(store, { cacheLength: 2 * MiB, clock: world.clock });
  return {
    world,
    store,
    set,
    root,
    reader,
    disk: manifestDisk(reader, { name: 'vda', root, keys: set.keys }),
  };
}

readableDeviceConforms(test, async (initial) => (await roundTrip(initial)).disk);

test('an encrypted disk conforms too', async (t) => {
  readableDeviceConforms(
    t.test.bind(t) as never,
    async (initial) => (await roundTrip(initial, 'secret')).disk,
  );
});

test('disks of odd sizes, larger than the cache, come back as they were', async () => {
  for (const size of [512, 4096, MiB - 512, MiB + 512, 5 * MiB + 1536]) {
    const contents = sparsePattern(size);
    contents.set(noise(Math.min(size, 300_000), size), Math.max(0, size - 300_000));
    const { disk } = await roundTrip(contents);
    deepEqual(await readAll(disk), contents);
    const zeros = (await disk.extents(0, size)).filter(({ kind }) => kind === 'zero');
    for (const { offset, length } of zeros) {
      ok(contents.subarray(offset, offset + length).every((byte) => byte === 0));
    }
  }
});

test('a disk of zeros has no root and no blocks', async () => {
  const { root, disk, store } = await roundTrip(new Uint8Array(3 * MiB));
  equal(root.reference, undefined);
  deepEqual(await disk.extents(0, 3 * MiB), [{ offset: 0, length: 3 * MiB, kind: 'zero' }]);
  deepEqual(await store.packs.list(), []);
});

test('an increment shares what did not change, and reads as what changed', async () => {
  const before = pattern(6 * MiB);
  before.fill(0, 2 * MiB, 3 * MiB);
  const { store, set, root, reader } = await roundTrip(before);
  const after = before.slice();
  after.set(noise(5000, 3), 3 * MiB + 100);
  after.fill(0, 5 * MiB, 6 * MiB);
  await using writer = await simulatedWriter(store, set);
  const scope = {
    kind: 'segments',
    segments: [3, 5].map((first) => ({ first, count: 1 })),
  } as const;
  const next = await storeDisk(store, set, writer, after, { parent: root, scope });
  await writer.commit();
  ok(writer.stats.storedBytes < 300_000, `${writer.stats.storedBytes} stored`);
  await using disk = manifestDisk(reader, { name: 'vda', root: next, keys: set.keys });
  deepEqual(await readAll(disk), after);
  await using old = manifestDisk(reader, { name: 'vda', root, keys: set.keys });
  deepEqual(await readAll(old), before);
});

test('a disk that grew keeps what it had', async () => {
  const before = pattern(MiB);
  const { store, set, root, reader } = await roundTrip(before);
  const after = new Uint8Array(300 * MiB);
  after.set(before);
  after.set(noise(5000, 3), 299 * MiB);
  await using writer = await simulatedWriter(store, set);
  const scope = { kind: 'segments', segments: [{ first: 299, count: 1 }] } as const;
  const next = await storeDisk(store, set, writer, after, { parent: root, scope });
  await writer.commit();
  await using disk = manifestDisk(reader, { name: 'vda', root: next, keys: set.keys });
  const got = new Uint8Array(MiB);
  for (const offset of [0, 100 * MiB, 299 * MiB]) {
    await disk.read(got, offset);
    equal(Buffer.compare(got, after.subarray(offset, offset + MiB)), 0);
  }
});

test('the same bytes are stored once', async () => {
  const { store, set, root } = await roundTrip(noise(2 * MiB, 1));
  await using writer = await simulatedWriter(store, set);
  const again = await storeDisk(store, set, writer, noise(2 * MiB, 1));
  await writer.commit();
  equal(writer.stats.storedBytes, 0);
  deepEqual(again, root);
});

test('damage is an error for the block that has it, and for no other', async () => {
  const contents = noise(2 * MiB, 4);
  const { world, store, disk } = await roundTrip(contents, 'secret');
  const { entries } = await store.packs.footer(1);
  const { offset } = entries[3]!;
  await using pack = await world.files.open(store.packs.path(1), 'write');
  await pack.write(new Uint8Array(1).fill(0x5a), offset + 200);
  let failed = 0;
  const page = new Uint8Array(4096);
  for (let at = 0; at < contents.length; at += 4096) {
    try {
      await disk.read(page, at);
      deepEqual(page, contents.subarray(at, at + 4096));
    } catch (cause) {
      equal((cause as { code: string }).code, 'CORRUPT');
      failed++;
    }
  }
  ok(failed > 0 && failed <= 64, `${failed} pages failed`);
});

test('frames that moved are found where the list beside their old pack says', async () => {
  const contents = noise(MiB, 4);
  const { world, store, root, reader, set } = await roundTrip(contents);
  const { entries } = await store.packs.footer(1);
  await world.files.rename(store.packs.path(1), store.packs.path(77));
  await store.packs[Symbol.asyncDispose]();
  // In two steps, with an end to each circle.
  const move = (pack: number) =>
    new Map(entries.map(({ offset, length }) => [offset, { pack, offset, length }] as const));
  await store.packs.moved.add(1, move(5));
  await store.packs.moved.add(5, move(1));
  {
    await using disk = manifestDisk(reader, { name: 'vda', root, keys: set.keys });
    await rejects(readAll(disk), { code: 'CORRUPT' });
  }
  await store.packs.moved.add(5, move(77));
  await using disk = manifestDisk(reader, { name: 'vda', root, keys: set.keys });
  deepEqual(await readAll(disk), contents);
});

test('a missing pack is an error that says so', async () => {
  const { world, store, disk } = await roundTrip(noise(MiB, 4));
  await world.files.unlink(store.packs.path(1));
  await rejects(disk.read(new Uint8Array(100), 0), { code: 'CORRUPT', message: /missing/ });
});

test('prefetched blocks are answered at once, and first reads are reported once', async () => {
  const { disk } = await roundTrip(noise(MiB, 4));
  const page = new Uint8Array(4096);
  equal(disk.tryRead(page, 0), false);
  const seen: number[] = [];
  disk.observe(({ offset }) => seen.push(offset));
  await disk.prefetch([{ offset: 0, length: MiB }], MiB, new AbortController().signal);
  equal(disk.tryRead(page, 0), true);
  equal(disk.tryRead(page, 4096), true);
  equal(disk.tryRead(page, 512 * 1024), true);
  equal(new Set(seen).size, seen.length);
  ok(seen.length >= 2 && seen[0] === 0);
});

test('a quick medium is read at once, when that is asked for', async () => {
  const contents = noise(4 * MiB, 4);
  const { world, store, set, root } = await roundTrip(contents, 'secret');
  let late = 0;
  const clock = { ...world.clock, monotonicMs: () => (late += 2) };
  await using reader = openBlockReader(store, { cacheLength: 2 * MiB, clock });
  await using disk = manifestDisk(reader, { name: 'vda', root, keys: set.keys });
  const into = new Uint8Array(65_536);
  // Packs are not open at once.
  await disk.read(into, 0);
  equal(disk.tryRead(into, 2 * MiB + 100), false);
  equal(disk.tryRead(into, 2 * MiB + 100, 'medium'), true);
  deepEqual(into, contents.subarray(2 * MiB + 100, 2 * MiB + 100 + into.length));

  // One call that takes long, and for a while the thread no longer waits.
  clock.monotonicMs = () => (late += 4);
  equal(disk.tryRead(into, MiB, 'medium'), false);
  clock.monotonicMs = () => late;
  equal(disk.tryRead(into, 3 * MiB, 'medium'), false);
  await disk.read(into, 3 * MiB);
  deepEqual(into, contents.subarray(3 * MiB, 3 * MiB + into.length));
});

test('damage that is met at once is left to `read` to report', async () => {
  const { world, store, disk } = await roundTrip(noise(2 * MiB, 4), 'secret');
  await disk.read(page(), 0);
  const { entries } = await store.packs.footer(1);
  await using pack = await world.files.open(store.packs.path(1), 'write');
  for (const { offset } of entries.slice(8)) {
    await pack.write(new Uint8Array(1).fill(0x5a), offset + 200);
  }
  equal(disk.tryRead(page(), 2 * MiB - 4096, 'medium'), false);
  await rejects(disk.read(page(), 2 * MiB - 4096), { code: 'CORRUPT' });
});

test('the root of another disk is refused', async () => {
  const one = await roundTrip(noise(2 * MiB, 4));
  const wrong: DiskRoot = {
    size: 2 * MiB,
    reference: { ...one.root.reference!, digest: pattern(32) },
  };
  await using disk = manifestDisk(one.reader, { name: 'vda', root: wrong, keys: one.set.keys });
  await rejects(disk.read(page(), 0), { code: 'CORRUPT' });
});

function page(): Uint8Array {
  return new Uint8Array(4096);
}

test('an I/O error of the medium is one for its reader, wherever it happens', async () => {
  const { world, store, set, root } = await roundTrip(noise(2 * MiB, 4));
  const packs = await store.packs.list();
  for (const broke of packs) {
    const name = store.packs.path(broke);
    const files = faultyFs(world.files, (operation, path) =>
      operation === 'read' && path === name ? broken(path) : undefined,
    );
    await using failing = await openStore({ ...world, files }, HOME);
    await using reader = openBlockReader(failing, { cacheLength: 2 * MiB });
    await using disk = manifestDisk(reader, { name: 'vda', root, keys: set.keys });
    await rejects(disk.read(page(), 0), { name: 'BlockError', code: 'IO' }, name);
  }
  equal(packs.length, 2, 'one of blocks, one of nodes');
});

test('a manifest whose nodes stand for the wrong level is refused', async () => {
  const { store, set, root } = await roundTrip(noise(MiB, 4));
  await using reader = openBlockReader(store, { cacheLength: 2 * MiB });
  // A leaf, where a disk of this size has a node above its leaves.
  const wrong: DiskRoot = { size: 300 * MiB, reference: root.reference };
  await using disk = manifestDisk(reader, { name: 'vda', root: wrong, keys: set.keys });
  await rejects(disk.read(page(), 0), {
    name: 'BlockError',
    code: 'CORRUPT',
    message: /level 0, not 2/,
  });
});

/** A disk whose only leaf was made up, where nothing is encrypted. */
async function madeUp(
  { world, store, set, root }: Awaited<ReturnType<typeof roundTrip>>,
  entries: Node['entries'],
): Promise<DiskRoot> {
  const codec = frameCodec(set.keys);
  const plain = encodeNode({ level: 0, entries });
  const digest = codec.digest(plain);
  const frame = new Uint8Array(FRAME_LENGTH_MAX);
  const length = codec.seal(plain, frame, { kind: 'node', digest, nonce: new Uint8Array(24) });
  const { pack } = root.reference!;
  await using file = await world.files.open(store.packs.path(pack), 'write');
  const offset = await file.size();
  await file.write(frame.subarray(0, length), offset);
  return { size: MiB, reference: { pack, offset, length, digest } };
}

test('a leaf that an attacker made up reads nothing beyond the blocks that it names', async () => {
  const it = await roundTrip(noise(MiB, 4));
  const { store, set, root, reader, disk } = it;
  await readAll(disk);
  const leaf = await nodeReader(store.packs, frameCodec(set.keys)).node(root.reference!);
  const [first] = leaf.entries;
  const made = await madeUp(it, [{ ...first!, span: first!.span + 1 }]);
  await using wrong = manifestDisk(reader, { name: 'vda', root: made, keys: set.keys });
  const last = first!.span * 4096;
  await rejects(wrong.read(page(), last), { name: 'BlockError', code: 'CORRUPT' });
  equal(wrong.tryRead(page(), last, 'medium'), false);
});

// The number of a pack that was lost was once given again: then older and newer points name its places.
test('of two blocks that two points name at one place each reader gets its own', async () => {
  const contents = noise(MiB, 4);
  const it = await roundTrip(contents);
  const { store, set, root, reader, disk } = it;
  const { entries } = await nodeReader(store.packs, frameCodec(set.keys)).node(root.reference!);
  const [small, large] = entries.slice(0, 2).toSorted((a, b) => a.span - b.span);
  const { pack, offset, length } = small!;
  await store.packs.moved.add(pack, new Map([[offset, large!]]));
  const made = await madeUp(it, [{ ...large!, at: 0, pack, offset, length }]);
  await using other = manifestDisk(reader, { name: 'vdb', root: made, keys: set.keys });
  const pageAt = (at: number) => contents.subarray(at * 4096, (at + 1) * 4096);
  for (const round of ['cold', 'cached']) {
    const [one, two] = [page(), page()];
    await Promise.all([other.read(two, 0), disk.read(one, small!.at * 4096)]);
    deepEqual(two, pageAt(large!.at), round);
    deepEqual(one, pageAt(small!.at), round);
  }
});
