import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { createSet, unlockSet } from '../../src/catalog/sets.ts';
import { memoryDevice } from '../../src/block/memory.ts';
import { frameCodec, NONCE_LENGTH, FRAME_LENGTH_MAX } from '../../src/formats/store/packs/frame.ts';
import { publicKeys } from '../../src/formats/store/catalog/key-slot.ts';
import { copyDisk } from '../../src/ingest/backup/copy-disk.ts';
import { openBlockReader } from '../../src/store/read/block-reader.ts';
import { checkPacks } from '../../src/store/check/check.ts';
import type { Problem } from '../../src/store/check/problem.ts';
import { CUTTING_DEFAULT } from '../../src/store/write/chunker.ts';
import { openDiskWriter } from '../../src/store/write/disk-writer.ts';
import { encoderPool } from '../../src/store/write/encoder.ts';
import { manifestDisk } from '../../src/store/read/manifest-disk.ts';
import { nodeReader } from '../../src/store/nodes/node-reader.ts';
import { createStore, openStore } from '../../src/store/directory/store.ts';
import { openStoreWriter, rebuildIndex } from '../../src/store/write/store-writer.ts';
import type { FileSystem } from '../../src/sys/files/file-system.ts';
import { realWorld } from '../../src/sys/world.ts';
import { readAll } from '../block/conformance.ts';
import { broken, faultyFs, full } from '../support/faulty-fs.ts';
import { noise, pattern } from '../support/random.ts';
import { HOME, newStore, simulatedWorld, simulatedWriter, storeDisk } from '../support/store.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MiB = 2 ** 20;
const world = realWorld();
const root = temporaryDirectory();
const domain = new Uint8Array(16);

function frameOf(plain: Uint8Array) {
  const codec = frameCodec(publicKeys());
  const into = new Uint8Array(FRAME_LENGTH_MAX);
  const digest = codec.digest(plain);
  const as = { kind: 'block', digest } as const;
  const length = codec.seal(plain, into, { ...as, nonce: new Uint8Array(NONCE_LENGTH) });
  return { frame: into.slice(0, length), as };
}

test('a store is made once, in a directory of its own', async () => {
  const directory = join(root, 'made');
  await createStore(world, directory);
  await rejects(createStore(world, directory), { code: 'EXISTS' });
  await rejects(openStore(world, root), { code: 'NOT_A_STORE', message: /store create/ });
  await using store = await openStore(world, directory);
  match(store.id, /^[0-9a-f]{32}$/);
});

test('a second writer is refused by name of the first', async () => {
  const directory = join(root, 'locked');
  await createStore(world, directory);
  await using store = await openStore(world, directory);
  await using first = await openStoreWriter(store, { domain, holder: 'backup create a' });
  await rejects(openStoreWriter(store, { domain, holder: 'b' }), {
    code: 'BUSY',
    message: /backup create a \(process \d+/,
  });
  ok(first);
});

test('what was committed is found after the index is deleted, or damaged', async () => {
  const directory = join(root, 'index');
  await createStore(world, directory);
  await using store = await openStore(world, directory);
  const one = frameOf(pattern(5000));
  {
    await using writer = await openStoreWriter(store, { domain, holder: 'a' });
    writer.append(one.frame, one.as);
    await writer.commit();
  }
  rmSync(join(directory, 'block-index'), { recursive: true });
  {
    const seen: number[] = [];
    await using writer = await openStoreWriter(store, {
      domain,
      holder: 'a',
      onIndexing: (done) => seen.push(done),
    });
    ok(writer.find(one.as.digest));
    deepEqual(seen, [1]);
  }
  rmSync(join(directory, 'block-index', 'CURRENT'));
  await rebuildIndex(store, {});
  ok(existsSync(join(directory, 'block-index', 'CURRENT')));
  await using writer = await openStoreWriter(store, { domain, holder: 'a' });
  ok(writer.find(one.as.digest));
});

test('encoder threads and decoder threads give back what they got', async () => {
  const directory = join(root, 'threads');
  await createStore(world, directory);
  await using store = await openStore(world, directory);
  const passphrase = Buffer.from('x');
  const { record } = await createSet(store, 'set', { passphrase });
  const { keys } = await unlockSet(record, { kind: 'passphrase', passphrase });
  const contents = noise(6 * MiB + 512, 3);
  contents.fill(0, MiB, 2 * MiB);
  contents.copyWithin(4 * MiB, 0, MiB);
  let reference;
  {
    await using writer = await openStoreWriter(store, {
      domain: record.domain,
      holder: 'a',
    });
    const { random } = world;
    const options = { keys, cutting: CUTTING_DEFAULT, random, writer };
    await using encoder = encoderPool({ ...options, workers: 2 });
    const nodes = nodeReader(store.packs, frameCodec(keys));
    const size = contents.length;
    const disk = await openDiskWriter({
      writer,
      encoder,
      keys,
      random,
      nodes,
      size,
      parent: undefined,
      rewritten: 'all',
    });
    await using device = memoryDevice(contents);
    await copyDisk(device, disk, { scope: { kind: 'all' }, signal: undefined, onProgress() {} });
    reference = await disk.finish();
    await writer.commit();
    ok(writer.stats.storedBytes < 5.2 * MiB, 'the copied segment is stored once');
  }
  await using reader = openBlockReader(store, {
    threads: 2,
    clock: world.clock,
    cacheLength: 2 * MiB,
  });
  await using disk = manifestDisk(reader, { name: 'vda', root: reference, keys });
  // The first read is served before the threads have started, the others by them.
  await disk.read(new Uint8Array(10), 0);
  await world.clock.sleep(200);
  equal(Buffer.compare(await readAll(disk), contents), 0);
  const seen: Problem[] = [];
  const checked = await checkPacks(store.packs, {
    readData: true,
    keysOf: () => keys,
    signal: undefined,
    onProgress() {},
    onProblem: (problem) => seen.push(problem),
  });
  deepEqual(seen, []);
  equal(checked.packs, 2);
});

test('a full disk is NO_SPACE, a failing sync is final, and neither is believed', async () => {
  for (const [fault, code] of [
    [full, 'NO_SPACE'],
    [broken, 'IO'],
  ] as const) {
    for (const operation of ['write', 'sync', 'rename', 'syncDirectory', 'create'] as const) {
      const sim = simulatedWorld();
      const { store, set } = await newStore(sim);
      const files = faultyFs(sim.files, (what, path) =>
        what === operation && path.includes('packs/') ? fault(path) : undefined,
      );
      await using failing = await openStore({ ...sim, files }, HOME);
      await using writer = await simulatedWriter(failing, set);
      const write = async (): Promise<void> => {
        await storeDisk(failing, set, writer, noise(3 * MiB, 1));
        await writer.commit();
      };
      await rejects(write(), { code });
      await rejects(writer.commit(), { code }, 'and stays so');
      const sealed = await store.packs.list();
      ok(sealed.length === 0 || operation === 'syncDirectory', operation);
    }
  }
});

test('a writer that failed leaves no file open, of whatever was still to be sealed', async () => {
  const sim = simulatedWorld();
  const { store, set } = await newStore(sim);
  const open = new Set<string>();
  const files = faultyFs(sim.files, (what, path) =>
    what === 'rename' && path.includes('packs') ? broken(path) : undefined,
  );
  const counting: FileSystem = {
    ...files,
    async create(path) {
      const file = await files.create(path);
      open.add(path);
      return {
        ...file,
        async [Symbol.asyncDispose]() {
          open.delete(path);
          await file[Symbol.asyncDispose]();
        },
      };
    },
  };
  {
    await using writer = await simulatedWriter(
      await openStore({ ...sim, files: counting }, HOME),
      set,
      MiB,
    );
    for (let salt = 1; salt <= 100; salt++) {
      const { frame, as } = frameOf(noise(64 * 1024, salt));
      writer.append(frame, as);
    }
    await rejects(writer.commit(), { code: 'IO' });
  }
  deepEqual([...open], []);
  ok((await store.packs.list()).length === 0);
});

test('packs keep the order of the disk', async () => {
  const sim = simulatedWorld();
  const { store, set } = await newStore(sim);
  await using writer = await simulatedWriter(store, set, MiB);
  const { reference } = await storeDisk(store, set, writer, noise(5 * MiB, 1));
  await writer.commit();
  ok(reference);
  const packs = await store.packs.list();
  ok(packs.length >= 5);
  const nodes = nodeReader(store.packs, frameCodec(set.keys));
  let last = -1;
  for (const leaf of (await nodes.node(reference)).entries) {
    for (const { pack, offset } of (await nodes.node(leaf)).entries) {
      const place = pack * 2 ** 32 + offset;
      ok(place > last);
      last = place;
    }
  }
});
