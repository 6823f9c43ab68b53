import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import { encodeNode, type Node } from '../../formats/store/packs/node.ts';
import type { Random } from '../../sys/base/random.ts';
import { startWorker, type WorkerThread } from '../../sys/process/worker-thread.ts';
import type { Cutting } from '../../formats/store/catalog/set-record.ts';
import type { EncodeJob, EncodeReply, EncodeWorkerData } from './encode-worker.ts';
import {
  type EncodedBlock,
  encodedBlocks,
  SLOT_LENGTH,
  type Slot,
  segmentEncoder,
  slotOf,
} from './segment-encoder.ts';
import { StoreError } from '../packs/store-error.ts';
import type { StoreWriter } from './store-writer.ts';

/** Turns segments into blocks for one domain, several at once, in a fixed amount of memory. */
export interface Encoder extends AsyncDisposable {
  /** A slot whose `input` the caller fills; waits for one to be free. */
  lease(): Promise<Slot>;
  /** Encodes the first `length` bytes of the slot's input. Frames stay valid until the slot is released. */
  encode(slot: Slot, length: number, parent: Node | undefined): Promise<EncodedBlock[]>;
  release(slot: Slot): void;
}

export interface EncoderOptions {
  readonly keys: DomainKeys;
  readonly cutting: Cutting;
  readonly random: Random;
  readonly writer: StoreWriter;
}

/** Enough for slow sources, at 2.3 MiB each. */
const SLOTS = 12;

/** Encodes in this thread: for tests, whose file systems and indexes workers cannot see. */
export function inlineEncoder({ keys, cutting, random, writer }: EncoderOptions): Encoder {
  const slots = slotPool();
  const { find, isGood } = writer;
  const encode = segmentEncoder({ keys, cutting, random, find, isGood });
  return {
    ...slots,
    async encode(slot, length, parent) {
      encode(slot, length, parent);
      return encodedBlocks(slot);
    },
    async [Symbol.asyncDispose]() {},
  };
}

type Thread = WorkerThread<EncodeJob, EncodeReply>;

interface Running {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Encodes in worker threads, which look blocks up in the index themselves. Blocks in a pack that is not sealed yet
 * are unknown to them and encoded once more; the writer drops those.
 */
export function encoderPool(options: EncoderOptions & { readonly workers: number }): Encoder {
  const { keys, cutting, writer, workers } = options;
  const memories = Array.from({ length: SLOTS }, () => new SharedArrayBuffer(SLOT_LENGTH));
  const slots = slotPool(memories);
  const numbers = new Map(slots.all.map((slot, number) => [slot, number]));
  const running = new Map<number, Running>();
  let failure: Error | undefined;
  const { indexDirectory: index, trust } = writer;
  const data: EncodeWorkerData = { keys, cutting, memories, index, trust };
  const script = new URL('./encode-worker.ts', import.meta.url);
  const threads = Array.from({ length: workers }, () => {
    const thread: Thread = startWorker(script, data);
    thread.onMessage = ({ slot, failure: reason }) => {
      const it = running.get(slot);
      running.delete(slot);
      if (reason === undefined) it?.resolve();
      else it?.reject(new StoreError('INDEX', `it cannot be read: ${reason}`));
    };
    thread.onFailure = (error) => {
      failure ??= error;
      for (const { reject } of running.values()) reject(failure);
      running.clear();
    };
    return thread;
  });
  let turn = 0;
  return {
    ...slots,
    async encode(slot, length, parent) {
      if (failure) throw failure;
      const number = numbers.get(slot)!;
      const leaf = parent ? encodeNode(parent) : undefined;
      await new Promise<void>((resolve, reject) => {
        running.set(number, { resolve, reject });
        threads[turn++ % workers]!.post({ slot: number, length, leaf });
      });
      return encodedBlocks(slot);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(threads.map((thread) => thread[Symbol.asyncDispose]()));
    },
  };
}

function slotPool(
  memories = Array.from({ length: SLOTS }, () => new SharedArrayBuffer(SLOT_LENGTH)),
) {
  const all = memories.map(slotOf);
  const free = [...all];
  const waiting: ((slot: Slot) => void)[] = [];
  return {
    all,
    lease(): Promise<Slot> {
      const slot = free.pop();
      return slot ? Promise.resolve(slot) : new Promise((resolve) => waiting.push(resolve));
    },
    release(slot: Slot): void {
      const next = waiting.shift();
      if (next) next(slot);
      else free.push(slot);
    },
  };
}
