import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { digestKey } from '../../../src/formats/store/base/digest.ts';
import { publicKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import {
  FRAME_LENGTH_MAX,
  type FrameKind,
  frameCodec,
  NONCE_LENGTH,
} from '../../../src/formats/store/packs/frame.ts';
import type { Location } from '../../../src/formats/store/packs/node.ts';
import { DOMAIN_LENGTH, packEntriesCrc } from '../../../src/formats/store/packs/pack.ts';
import type { PackBuilder, PackStore } from '../../../src/store/packs/pack-store.ts';
import { below, noise, seeded } from '../../support/random.ts';

type Test = (name: string, body: () => Promise<void>) => unknown;

export interface OpenedPacks {
  readonly packs: PackStore;
  /** The same packs, as another process opens them. */
  again(): PackStore;
}

const DOMAIN = new Uint8Array(DOMAIN_LENGTH).fill(7);
const codec = frameCodec(publicKeys());
/** More than a process may keep open of them. */
const MANY = 100;

interface Frame {
  readonly bytes: Uint8Array;
  readonly digest: Uint8Array;
}

function frameOf(seed: number, kind: FrameKind = 'block', length = 5000): Frame {
  const plain = noise(length, seed);
  const digest = codec.digest(plain);
  const into = new Uint8Array(FRAME_LENGTH_MAX);
  const nonce = new Uint8Array(NONCE_LENGTH);
  return { bytes: into.slice(0, codec.seal(plain, into, { kind, digest, nonce })), digest };
}

function begin(packs: PackStore, number: number, frames: readonly Frame[], kind?: FrameKind) {
  const pack = packs.build({ kind: kind ?? 'block', number, domain: DOMAIN });
  return { pack, places: frames.map(({ bytes, digest }) => pack.append(bytes, digest)) };
}

async function sealed(
  packs: PackStore,
  number: number,
  frames: readonly Frame[],
): Promise<{ readonly pack: PackBuilder; readonly places: readonly Location[] }> {
  const begun = begin(packs, number, frames);
  await begun.pack.seal();
  return begun;
}

/** What every place where packs are kept promises. `open` gives an empty one. */
export function packStoreConforms(test: Test, open: () => Promise<OpenedPacks>): void {
  test('what was appended to a pack is read from it once it is sealed, in every way of reading', async () => {
    const { packs, again } = await open();
    await using _packs = packs;
    const frames = [frameOf(1), frameOf(2), frameOf(3, 'block', 60_000)];
    const { places } = await sealed(packs, 1, frames);
    await using other = again();
    for (const reader of [packs, other]) {
      for (const [at, { pack, offset, length }] of places.entries()) {
        const wanted = frames[at]!.bytes;
        equal(length, wanted.length);
        reader.willNeed(pack, offset, length);
        const into = new Uint8Array(length);
        await reader.read(into, pack, offset);
        deepEqual(into, wanted);
        await reader.readBlocking(into.fill(0), pack, offset);
        deepEqual(into, wanted);
        into.fill(0);
        if (reader.tryRead(into, pack, offset)) deepEqual(into, wanted);
        const middle = new Uint8Array(100);
        await reader.read(middle, pack, offset + 50);
        deepEqual(middle, wanted.subarray(50, 150));
      }
    }
  });

  test('a sealed pack says what is in it', async () => {
    const { packs } = await open();
    await using _packs = packs;
    const frames = [frameOf(1), frameOf(2)];
    const { pack, places } = await sealed(packs, 7, frames);
    const { size, header, entries, entriesCrc } = await packs.footer(7);
    equal(entriesCrc, packEntriesCrc(pack.entries));
    deepEqual(await packs.summary(7), { size, header, count: 2, entriesCrc });
    deepEqual(header, { kind: 'block', number: 7, domain: DOMAIN });
    deepEqual(
      entries.map(({ offset, length }) => ({ pack: 7, offset, length })),
      places,
    );
    deepEqual(
      entries.map(({ digest }) => digestKey(digest)),
      frames.map(({ digest }) => digestKey(digest)),
    );
    equal(size, pack.size);
    deepEqual(await packs.contents(7), {
      size,
      header,
      entries,
      entriesCrc,
      damage: undefined,
    });
    deepEqual(await packs.sizes(), new Map([[7, size]]));
    ok(packs.path(7).includes('7'));
  });

  test('the reference list of a pack is read again as it was written, and a pack without frames has none', async () => {
    const { packs, again } = await open();
    await using _packs = packs;
    equal(await packs.references.of(7, 2), undefined);
    const list = noise(400, 5);
    await packs.references.write(7, list);
    await using other = again();
    deepEqual(await other.references.of(7, 2), list);
    const longer = noise(500, 6);
    await packs.references.write(7, longer);
    deepEqual(await other.references.of(7, 2), longer);
    equal(await other.references.of(7, 0), undefined);
    equal(await other.references.of(8, 2), undefined);
    ok(packs.references.path(7).includes('7'));
  });

  test('a pack is there once it is sealed, and not before', async () => {
    const { packs, again } = await open();
    await using _packs = packs;
    const { pack } = begin(packs, 2, [frameOf(1)]);
    await pack.drained();
    await using other = again();
    for (const reader of [packs, other]) {
      deepEqual(await reader.list(), []);
      deepEqual(await reader.sizes(), new Map());
      await rejects(reader.read(new Uint8Array(1), 2, 0), { code: 'MISSING' });
    }
    await pack.seal();
    for (const reader of [packs, other]) {
      deepEqual(await reader.list(), [2]);
      deepEqual(await reader.unsealed(), []);
      await reader.read(new Uint8Array(1), 2, 0);
    }
    await packs.settle([2]);
  });

  test('what is missing, or too short, is said with a code', async () => {
    const { packs } = await open();
    await using _packs = packs;
    const { pack } = await sealed(packs, 1, [frameOf(1)]);
    const into = new Uint8Array(10);
    await rejects(packs.read(into, 2, 0), { name: 'StoreError', code: 'MISSING' });
    await rejects(packs.readBlocking(into, 2, 0), { name: 'StoreError', code: 'MISSING' });
    equal(packs.tryRead(into, 2, 0), false);
    await rejects(packs.footer(2), { name: 'StoreError', code: 'MISSING' });
    await rejects(packs.contents(2), { name: 'StoreError', code: 'MISSING' });
    await rejects(packs.read(into, 1, pack.size - 5), { name: 'StoreError', code: 'CORRUPT' });
    await rejects(packs.readBlocking(into, 1, pack.size), { name: 'StoreError', code: 'CORRUPT' });
  });

  test('more packs than may be open at once are read at once, in any order', async () => {
    const { packs } = await open();
    await using _packs = packs;
    const frames = Array.from({ length: MANY }, (_, at) => frameOf(at, 'block', 300));
    const places: Location[] = [];
    for (const [at, frame] of frames.entries()) {
      places.push(...(await sealed(packs, at + 1, [frame])).places);
    }
    deepEqual(
      await packs.list(),
      frames.map((_, at) => at + 1),
    );
    const random = seeded(5);
    await Promise.all(
      Array.from({ length: 4 * MANY }, async () => {
        const at = below(random, MANY);
        const { pack, offset, length } = places[at]!;
        const into = new Uint8Array(length);
        if (!packs.tryRead(into, pack, offset)) await packs.read(into, pack, offset);
        deepEqual(into, frames[at]!.bytes);
      }),
    );
  });

  test('what a crash left unsealed is sealed: whole frames of blocks, no nodes', async () => {
    const { packs, again } = await open();
    const blocks = [frameOf(1), frameOf(2)];
    const { pack: left } = begin(packs, 1, blocks);
    await left.drained();
    const { pack: nodes } = begin(packs, 2, [frameOf(3, 'node')], 'node');
    await nodes.drained();
    // The process is gone: nothing is closed in order.
    await using other = again();
    await other.salvage();
    deepEqual(await other.unsealed(), []);
    for (const pack of await other.list()) {
      const { header, entries } = await other.footer(pack);
      equal(header.number, pack);
      ok(entries.length <= (pack === 1 ? blocks.length : 0), `pack ${pack}: ${entries.length}`);
      for (const [at, { offset, length }] of entries.entries()) {
        const into = new Uint8Array(length);
        await other.read(into, pack, offset);
        deepEqual(into, blocks[at]!.bytes);
      }
    }
    await other.salvage();
  });

  test('new places of frames are found by all readers, and earlier ones stay', async () => {
    const { packs, again } = await open();
    await using _packs = packs;
    const { places } = await sealed(packs, 1, [frameOf(1), frameOf(2)]);
    const to = (offset: number): Location => ({ pack: 9, offset, length: 100 });
    const [first, second] = places.map(({ pack, offset }) => ({ pack, offset }));
    equal(await packs.moved.next(first!), undefined);
    deepEqual(await packs.moved.list(), []);
    await packs.moved.add(1, new Map([[first!.offset, to(40)]]));
    await packs.moved.add(1, new Map([[second!.offset, to(140)]]));
    await using other = again();
    for (const { moved } of [packs, other]) {
      deepEqual(await moved.next(first!), to(40));
      deepEqual(await moved.next(second!), to(140));
      equal(await moved.next({ pack: 2, offset: 0 }), undefined);
      deepEqual(await moved.list(), [1]);
      equal((await moved.of(1)).size, 2);
      equal((await moved.of(2)).size, 0);
      deepEqual(await moved.problems(), []);
    }
  });

  test('a frame that a read misses is marked until the mark is removed', async () => {
    const { packs, again } = await open();
    await using _packs = packs;
    await using other = again();
    const frame = { pack: 3, offset: 64, digest: frameOf(1).digest };
    const hurt = { set: 'nightly', point: 'vm-1', disk: 'vda' };
    await packs.want(frame, hurt);
    await packs.want(frame);
    deepEqual(await other.wanted.hurt(), [hurt]);
    const marks = await other.wanted.list();
    equal(marks.length, 1);
    equal(marks[0]!.pack, 3);
    equal(digestKey(marks[0]!.frame!.digest), digestKey(frame.digest));
    await other.wanted.remove(marks[0]!);
    await other.wanted.remove(marks[0]!);
    deepEqual(await packs.wanted.list(), []);
    deepEqual(await packs.wanted.hurt(), []);
  });

  test('the greatest number that points may name is remembered', async () => {
    const { packs, again } = await open();
    await using _packs = packs;
    deepEqual(await packs.readLast(), { last: 0 });
    await packs.writeLast(41);
    await packs.writeLast(42);
    await using other = again();
    deepEqual(await other.readLast(), { last: 42 });
  });

  test('packs are closed twice without harm, also while one is being written', async () => {
    const { packs } = await open();
    const { pack } = begin(packs, 1, [frameOf(1)]);
    await pack.drained();
    await pack.close();
    await packs[Symbol.asyncDispose]();
    await packs[Symbol.asyncDispose]();
  });
}
