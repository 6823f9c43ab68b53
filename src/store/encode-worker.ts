import type { DomainKeys } from '../formats/store/frame.ts';
import { decodeNode } from '../formats/store/node.ts';
import { systemRandom } from '../sys/random.ts';
import { workerSide } from '../sys/worker-thread.ts';
import { findInIndex, openIndexHandle } from './block-index.ts';
import type { Cutting } from '../formats/store/set-record.ts';
import { segmentEncoder, slotOf } from './segment-encoder.ts';

export interface EncodeWorkerData {
  readonly keys: DomainKeys;
  readonly cutting: Cutting;
  readonly memories: readonly SharedArrayBuffer[];
  /** The writer's LevelDB, which this thread opens beside it. */
  readonly index: string | undefined;
}

export interface EncodeJob {
  readonly slot: number;
  readonly length: number;
  /** Encoded: the leaf that the parent recovery point has at this place. */
  readonly leaf: Uint8Array | undefined;
}

const side = workerSide<EncodeJob, { readonly slot: number }>();
const { keys, cutting, memories, index } = side.data as EncodeWorkerData;
const level = index === undefined ? undefined : await openIndexHandle(index);
const slots = memories.map(slotOf);
const encode = segmentEncoder({
  keys,
  cutting,
  random: systemRandom(),
  find: (digest) => (level ? findInIndex(level, digest) : undefined),
});
side.listen(({ slot, length, leaf }) => {
  encode(slots[slot]!, length, leaf ? decodeNode(leaf) : undefined);
  side.post({ slot });
});
