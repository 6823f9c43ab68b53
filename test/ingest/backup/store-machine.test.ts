import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { BlockDevice } from '../../../src/block/block-device.ts';
import { memoryDevice } from '../../../src/block/memory.ts';
import { isPublished, listPoints } from '../../../src/catalog/points.ts';
import {
  type MachineDisk,
  machineWriting,
  type NewPoint,
  storeMachine,
} from '../../../src/ingest/backup/store-machine.ts';
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
