import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'tap';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import { isPublished, listPoints } from '../../../src/catalog/points.ts';
import type { PointDisk } from '../../../src/formats/store/catalog/point.ts';
import {
  type MachineDisk,
  type MachineWriting,
  machineWriting,
  type NewPoint,
  storeMachine,
} from '../../../src/ingest/backup/store-machine.ts';
import type { Store } from '../../../src/store/directory/store.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import { manifestDisk } from '../../../src/store/read/manifest-disk.ts';
import { CUTTING_DEFAULT } from '../../../src/store/write/chunker.ts';
import { inlineEncoder } from '../../../src/store/write/encoder.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, simulatedWriter } from '../../support/store.ts';

/** Two segments, the second one of zeros. */
const SIZE = 2 * 2 ** 20;

function contents(seed: number): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  bytes.set(noise(50_000, seed));
  return bytes;
}

function diskOf(name: string, device: BlockDevice): MachineDisk {
  const scope = { kind: 'all' } as const;
  return { name, device, from: 'memory', base: undefined, scope, rewritten: 'all' };
}

async function setUp() {
  const world = simulatedWorld();
  const { store, set } = await newStore(world);
  const writer = await simulatedWriter(store, set);
  const { keys } = set;
  const { random } = world;
  const encoder = inlineEncoder({ keys, cutting: CUTTING_DEFAULT, random, writer });
  const point = (own: Pick<NewPoint, 'disks'> & Partial<NewPoint>): NewPoint => ({
    machine: 'vm',
    parent: undefined,
    origin: 'backup',
    known: undefined,
    signal: undefined,
    onProgress() {},
    async onStored() {},
    ...own,
  });
  const writing = machineWriting(store, { set, writer, encoder });
  return { world, store, set, writer, writing, point };
}

test('a disk is closed before the next one opens, and all are durable before the point is there', async () => {
  const { store, set, writer, writing, point } = await setUp();
  await using _writer = writer;
  const events: string[] = [];
  async function* disks(): AsyncGenerator<MachineDisk> {
    for (const [at, name] of ['vda', 'vdb'].entries()) {
      events.push(`open ${name}`);
      yield diskOf(name, memoryDevice(contents(at)));
      events.push(`close ${name}`);
    }
  }
  const commit = writer.commit;
  const watched = { ...writing, writer: { ...writer, commit } };
  watched.writer.commit = async () => {
    await commit();
    events.push('durable');
  };
  const id = 'vm-20261129T000000Z-000001';
  const made = await storeMachine(store, watched, {
    ...point({ disks: disks(), id }),
    async onStored(stored) {
      equal(await isPublished(store, { set: set.name, id }), false);
      events.push(`stored ${stored.map(({ name }) => name).join(' ')}`);
    },
  });
  deepEqual(events, [
    ...['open vda', 'close vda', 'open vdb', 'close vdb'],
    ...['durable', 'stored vda vdb'],
  ]);
  equal(made.id, id);
  equal(await isPublished(store, { set: set.name, id }), true);
  // Zeros are read as well: nothing says before that a device in memory has any.
  equal(made.stats.readBytes, 2 * SIZE);
});

test('progress counts positions by disk and bytes over all disks', async () => {
  const { store, writer, writing, point } = await setUp();
  await using _writer = writer;
  const seen: (readonly [string, number, number])[] = [];
  async function* disks(): AsyncGenerator<MachineDisk> {
    yield diskOf('vda', memoryDevice(contents(1)));
    yield diskOf('vdb', memoryDevice(contents(2)));
  }
  await storeMachine(store, writing, {
    ...point({ disks: disks() }),
    onProgress: (...report) => void seen.push(report),
  });
  deepEqual(seen.at(-1), ['vdb', SIZE, 2 * SIZE]);
  equal(seen.findLast(([name]) => name === 'vda')?.[1], SIZE);
});

test('a disk that cannot be read publishes nothing, and what is open of it is closed', async () => {
  const { store, writer, writing, point } = await setUp();
  await using _writer = writer;
  let closed = false;
  async function* disks(): AsyncGenerator<MachineDisk> {
    yield diskOf('vda', memoryDevice(contents(1)));
    const whole = memoryDevice(contents(2));
    try {
      yield diskOf('vdb', { ...whole, read: async () => Promise.reject(new Error('unreadable')) });
    } finally {
      closed = true;
    }
  }
  await rejects(storeMachine(store, writing, point({ disks: disks() })), /unreadable/);
  equal(closed, true);
  deepEqual((await listPoints(store, undefined)).points, []);
});

/** A disk whose reads take a few turns, and how many of its kind are open. */
function slowDisks(count: number, segments: number) {
  const size = segments * 2 ** 20;
  const seen = { reading: new Set<string>(), most: 0 };
  const devices = Array.from({ length: count }, (_, at) => {
    const name = `vd${at}`;
    const bytes = new Uint8Array(size);
    for (let it = 0; it < segments; it++) bytes.set(noise(5000, 100 * at + it), it * 2 ** 20);
    const memory = memoryDevice(bytes);
    const read = async (into: Uint8Array, offset: number): Promise<void> => {
      seen.reading.add(name);
      seen.most = Math.max(seen.most, seen.reading.size);
      for (let turn = 0; turn < 1 + ((offset / 2 ** 20 + at) % 3); turn++) await nextTurn();
      await memory.read(into, offset);
      if (offset + into.length === size) seen.reading.delete(name);
    };
    return diskOf(name, { ...memory, read });
  });
  async function* disks(): AsyncGenerator<MachineDisk> {
    yield* devices;
  }
  return { seen, devices, disks };
}

test('four disks at once give the point that one after the other gives, in the same order', async () => {
  const made = [];
  const stored: number[] = [];
  for (const atOnce of [1, 4]) {
    const { store, writer, writing, point } = await setUp();
    await using _writer = writer;
    // More segments than there is memory for, so that disks wait for each other.
    const { seen, disks } = slowDisks(6, 8);
    const progress: number[] = [];
    const { disks: ofPoint, stats } = await storeMachine(store, writing, {
      ...point({ disks: disks(), atOnce }),
      onProgress: (_disk, _position, readBytes) => void progress.push(readBytes),
    });
    equal(seen.most, atOnce);
    equal(progress.at(-1), 48 * 2 ** 20);
    deepEqual(
      progress,
      progress.toSorted((a, b) => a - b),
    );
    made.push({
      names: ofPoint.map(({ name, size }) => [name, size]),
      digests: await Promise.all(ofPoint.map((disk) => contentsOf(store, writing, disk))),
    });
    stored.push(stats.storedBytes);
  }
  deepEqual(made[1], made[0]);
  // Nodes name places, whose digits compress differently.
  ok(Math.abs(stored[1]! - stored[0]!) < 1000, stored.join(' '));
});

test('the first disk that cannot be read ends the others, and nothing is published', async () => {
  const { store, writer, writing, point } = await setUp();
  await using _writer = writer;
  const { seen, devices } = slowDisks(3, 16);
  let reads = 0;
  async function* disks(): AsyncGenerator<MachineDisk> {
    const broken = memoryDevice(contents(1));
    yield* devices;
    yield diskOf('bad', {
      ...broken,
      async read() {
        reads = seen.reading.size;
        throw new Error('unreadable');
      },
    });
  }
  await rejects(storeMachine(store, writing, point({ disks: disks(), atOnce: 4 })), /unreadable/);
  equal(reads, 3, 'the others were under way');
  equal(seen.reading.size, 3, 'and none of them came to its end');
  deepEqual((await listPoints(store, undefined)).points, []);
  // Nothing is left that holds memory: as many slots are free as before.
  const again = slowDisks(4, 4);
  await storeMachine(store, writing, point({ disks: again.disks(), atOnce: 4 }));
});

async function contentsOf(store: Store, { set }: MachineWriting, disk: PointDisk): Promise<string> {
  await using reader = openBlockReader(store, {});
  await using device = manifestDisk(reader, { name: disk.name, root: disk, keys: set.keys });
  const bytes = new Uint8Array(disk.size);
  await device.read(bytes, 0);
  return createHash('sha256').update(bytes).digest('hex');
}
