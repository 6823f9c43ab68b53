import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import { decodeNode, type Location } from '../../formats/store/packs/node.ts';
import { asError } from '../../lib/as-error.ts';
import { systemRandom } from '../../sys/base/random.ts';
import { workerSide } from '../../sys/process/worker-thread.ts';
import { findInIndex, openIndexHandle } from '../index/block-index.ts';
import type { Cutting } from '../../formats/store/catalog/set-record.ts';
import { segmentEncoder, slotOf } from './segment-encoder.ts';
import { type TrustData, trustOf } from '../packs/trust.ts';

export interface EncodeWorkerData {
  readonly keys: DomainKeys;
  readonly cutting: Cutting;
  readonly memories: readonly SharedArrayBuffer[];
  /** The writer's LevelDB, which this thread opens too. */
  readonly index: string | undefined;
  readonly trust: TrustData;
}

/** `failure`: why the index cannot be read; the slot has no blocks then. */
export interface EncodeReply {
  readonly slot: number;
  readonly failure?: string;
}

export interface EncodeJob {
  readonly slot: number;
  readonly length: number;
  /** The encoded leaf that the parent recovery point has at this place. */
  readonly leaf: Uint8Array | undefined;
}

/** Not used: the main thread has it open already. */
const THREAD_MEMORY = 0;

const side = workerSide<EncodeJob, EncodeReply>();
const { keys, cutting, memories, index, trust } = side.data as EncodeWorkerData;
const { isGood, isKnown } = trustOf(trust);
const level = index === undefined ? undefined : await openIndexHandle(index, THREAD_MEMORY);
const slots = memories.map(slotOf);
let failure: string | undefined;
const encode = segmentEncoder({ keys, cutting, random: systemRandom(), find, isGood });

function find(digest: Uint8Array): Location | undefined {
  try {
    const place = level && findInIndex(level, digest);
    return place && isKnown(place) ? place : undefined;
  } catch (cause) {
    failure = asError(cause).message;
    return undefined;
  }
}
side.listen(({ slot, length, leaf }) => {
  encode(slots[slot]!, length, leaf ? decodeNode(leaf) : undefined);
  side.post(failure === undefined ? { slot } : { slot, failure });
});
