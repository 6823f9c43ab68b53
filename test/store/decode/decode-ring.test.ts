import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import {
  frameCodec,
  FRAME_LENGTH_MAX,
  NONCE_LENGTH,
} from '../../../src/formats/store/packs/frame.ts';
import { publicKeys } from '../../../src/formats/store/catalog/key-slot.ts';
import { decodePool } from '../../../src/store/decode/decode-pool.ts';
import {
  ringMemory,
  ringReceiver,
  type RingReceiver,
  ringSender,
} from '../../../src/store/decode/decode-ring.ts';
import type { DecodeWorkerData, DomainMessage } from '../../../src/store/decode/decode-worker.ts';
import type { DecodeJob } from '../../../src/store/decode/decoder.ts';
import type { PackStore } from '../../../src/store/packs/pack-store.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import type { WorkerThread } from '../../../src/sys/process/worker-thread.ts';
import { pattern } from '../../support/random.ts';

const LENGTH = 4096;

/** A frame, and reads that all give it. */
function oneFrame() {
  const codec = frameCodec(publicKeys());
  const plain = pattern(LENGTH);
  const digest = codec.digest(plain);
  const into = new Uint8Array(FRAME_LENGTH_MAX);
  const nonce = pattern(NONCE_LENGTH);
  const frame = into.slice(0, codec.seal(plain, into, { kind: 'block', digest, nonce }));
  const read = async (into: Uint8Array): Promise<void> => into.set(frame);
  const job = (place: number): DecodeJob => ({
    ...{ domain: 0, pack: 1, offset: 32, length: frame.length },
    ...{ digest, place, plainLength: LENGTH },
  });
  return { plain, packs: { read } as unknown as PackStore, job };
}

/** Worker threads that do what the test says, in this thread. */
function puppets() {
  const threads: { receiver: RingReceiver; ready(): void; die(): void }[] = [];
  return {
    threads,
    start({ ring, worker }: DecodeWorkerData) {
      const thread: WorkerThread<DomainMessage, 'ready'> = {
        post() {},
        onMessage() {},
        onFailure() {},
        hold() {},
        async [Symbol.asyncDispose]() {},
      };
      threads.push({
        receiver: ringReceiver(ring, worker),
        ready: () => thread.onMessage('ready'),
        die: () => thread.onFailure(new Error('the worker has died')),
      });
      return thread;
    },
  };
}

function poolOf(packs: PackStore, workers: number) {
  const arena = new SharedArrayBuffer(8 * LENGTH);
  const { threads, start } = puppets();
  const clock = systemClock();
  const pool = decodePool({ arena, packs, directory: '/packs', workers, clock, start });
  pool.domain(publicKeys());
  return { pool, threads, at: (place: number) => new Uint8Array(arena, place, LENGTH) };
}

test('jobs of guests go before jobs in the background, in the order in which they came', async () => {
  const ring = ringMemory();
  const sender = ringSender(ring);
  const receiver = ringReceiver(ring, 0);
  const { job } = oneFrame();
  sender.submit(0, job(0), 'background');
  sender.submit(1, job(1), 'background');
  sender.submit(2, job(2), 'guest');
  sender.submit(3, job(3), 'guest');
  deepEqual(
    Array.from({ length: 4 }, () => receiver.take()),
    [2, 3, 0, 1],
  );
  sender.stop();
  equal(receiver.take(), undefined);
});

test('the job of a worker that dies is done all the same, and its next ones by those that live', async () => {
  const { plain, packs, job } = oneFrame();
  const { pool, threads, at } = poolOf(packs, 2);
  await using _pool = pool;
  equal(await pool.decode(job(0), 'guest'), 'decoded', 'here, while none has started');
  for (const thread of threads) thread.ready();
  const first = pool.decode(job(LENGTH), 'guest');
  const second = pool.decode(job(2 * LENGTH), 'guest');
  const [dying, living] = threads;
  dying!.receiver.take();
  dying!.die();
  equal(await first, 'decoded');
  deepEqual(at(LENGTH), plain);
  const number = living!.receiver.take()!;
  living!.receiver.complete(number, 'decoded');
  equal(await second, 'decoded');
  equal(threads.length, 3, 'it was replaced');
});

test('where no worker is left and none starts, all that waits is done here', async () => {
  const { plain, packs, job } = oneFrame();
  const { pool, threads, at } = poolOf(packs, 1);
  await using _pool = pool;
  await pool.decode(job(0), 'guest');
  threads[0]!.ready();
  const waiting = Array.from({ length: 3 }, (_, n) => pool.decode(job(n * LENGTH), 'background'));
  threads[0]!.die();
  const between = pool.decode(job(5 * LENGTH), 'guest');
  equal(await between, 'decoded', 'no reader waits for the start of another one');
  threads[1]!.die();
  deepEqual(await Promise.all(waiting), ['decoded', 'decoded', 'decoded']);
  deepEqual(at(2 * LENGTH), plain);
  equal(await pool.decode(job(6 * LENGTH), 'guest'), 'decoded');
  equal(threads.length, 2, 'it is not tried for ever');
});

test('what is still asked for while the pool ends has failed, and is not waited for', async () => {
  const { packs, job } = oneFrame();
  const { pool, threads } = poolOf(packs, 1);
  await pool.decode(job(0), 'guest');
  threads[0]!.ready();
  const left = pool.decode(job(LENGTH), 'guest');
  const ended = pool[Symbol.asyncDispose]();
  const late = pool.decode(job(2 * LENGTH), 'guest');
  await ended;
  // As one that looks for its frame elsewhere only now.
  const later = pool.decode(job(3 * LENGTH), 'guest');
  deepEqual(await Promise.all([left, late, later]), ['failed', 'failed', 'failed']);
});
