import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { test } from 'tap';
import {
  type ReplyQueue,
  replyQueue,
  type SlabPool,
  slabPool,
} from '../../../src/servers/connection/reply-queue.ts';

const KiB = 1024;

/** A peer that reads on demand. */
function peer(slabs: SlabPool) {
  const underWay: { readonly bytes: Uint8Array; readonly sent: () => void }[] = [];
  const got: number[] = [];
  const queue = replyQueue({
    slabs,
    send: (bytes, sent) => void underWay.push({ bytes, sent }),
    onSent() {},
  });
  return {
    queue,
    got,
    /** The memory that it is sent from. */
    memory: () => underWay[0]?.bytes.buffer,
    take(): void {
      const { bytes, sent } = underWay.shift()!;
      for (const byte of bytes) if (got.at(-1) !== byte) got.push(byte);
      sent();
    },
    isWaiting: () => underWay.length > 0,
  };
}

function reply(queue: ReplyQueue, byte: number, length: number): void {
  const at = queue.reserve(length);
  queue.bytes.fill(byte, at, at + length);
  queue.commit(length);
}

function counted(slabs: SlabPool) {
  const counts = { out: 0 };
  const pool: SlabPool = {
    ...slabs,
    take(length) {
      counts.out++;
      return slabs.take(length);
    },
    give(slab) {
      counts.out--;
      slabs.give(slab);
    },
  };
  return { pool, counts };
}

test('memory of an answer is reused only after the peer has read it', async () => {
  const slabs = slabPool();
  const [one, two] = [peer(slabs), peer(slabs)];
  reply(one.queue, 1, 64 * KiB);
  const memory = one.memory();
  reply(two.queue, 2, 64 * KiB);
  notEqual(two.memory(), memory);
  one.take();
  two.take();
  deepEqual([one.got, two.got], [[1], [2]]);
  // The last one given back is the first to be used again.
  reply(one.queue, 3, 64 * KiB);
  reply(two.queue, 4, 64 * KiB);
  equal(two.memory(), memory);
  deepEqual([one.got, two.got], [[1], [2]]);
});

test('replies go out in order, however many slabs they fill', async () => {
  const { pool, counts } = counted(slabPool());
  const { queue, got, take, isWaiting } = peer(pool);
  const lengths = [64, 100, 200, 1024, 10, 3000, 64, 64, 250, 1].map((length) => length * KiB);
  lengths.forEach((length, at) => reply(queue, at + 1, length));
  queue.flush();
  equal(
    queue.unsent,
    lengths.reduce((sum, length) => sum + length),
  );
  while (isWaiting()) take();
  deepEqual(got, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  equal(queue.unsent, 0);
  equal(counts.out, 0, 'a connection that has nothing to say has no slab');
});

test('room that was not used is used by the next reply, or given back for a larger one', async () => {
  const { pool, counts } = counted(slabPool());
  const { queue, got, take } = peer(pool);
  queue.reserve(64 * KiB);
  reply(queue, 1, 100);
  queue.flush();
  take();
  equal(counts.out, 0);
  queue.reserve(100);
  reply(queue, 2, 512 * KiB);
  take();
  deepEqual(got, [1, 2]);
  equal(counts.out, 0);
});

test('spare memory is bounded, and gone once no client is connected', async () => {
  const slabs = slabPool();
  const taken = Array.from({ length: 40 }, () => slabs.take(KiB));
  for (const slab of taken) slabs.give(slab);
  const again = Array.from({ length: 40 }, () => slabs.take(KiB));
  equal(again.filter((slab) => taken.includes(slab)).length, 8);
  for (const slab of again) slabs.give(slab);
  slabs.clear();
  equal(again.includes(slabs.take(KiB)), false);
});
