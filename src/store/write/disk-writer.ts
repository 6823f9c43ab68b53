import { digestKey } from '../../formats/store/base/digest.ts';
import { frameCodec, type DomainKeys } from '../../formats/store/packs/frame.ts';
import type { NodeEntry } from '../../formats/store/packs/node.ts';
import { asError } from '../../lib/as-error.ts';
import type { Random } from '../../sys/base/random.ts';
import type { DiskRoot } from '../nodes/disk-root.ts';
import type { Encoder } from './encoder.ts';
import type { NodeReader } from '../nodes/node-reader.ts';
import type { EncodedBlock, Slot } from './segment-encoder.ts';
import type { StoreWriter } from './store-writer.ts';
import { openTreeBuilder, type Rewritten } from './tree-builder.ts';

/**
 * Writes a disk to the store, segment by segment in the order of the disk. Segments are encoded in parallel and
 * appended in order, so that packs keep the order too.
 */
export interface DiskWriter {
  /**
   * Memory for one segment; waits while all slots are in use. Rejects with a failure that occurred in the meantime.
   */
  lease(): Promise<Slot>;
  /** Hands over a leased slot with `length` bytes of segment `index`. Indexes ascend. */
  segment(index: number, slot: Slot, length: number): void;
  /** Marks segments that read as zeros. Ascending together with `segment`. */
  zero(first: number, count: number): void;
  /** Gives back a slot that was not handed over. */
  release(slot: Slot): void;
  /** Segments that were not handed over are the parent's, or zeros. Durable after the store writer's commit. */
  finish(): Promise<DiskRoot>;
}

export interface DiskWriterOptions {
  readonly writer: StoreWriter;
  readonly encoder: Encoder;
  readonly keys: DomainKeys;
  readonly random: Random;
  readonly nodes: NodeReader;
  readonly size: number;
  readonly parent: DiskRoot | undefined;
  /** Segments that will certainly be handed over. */
  readonly rewritten: Rewritten;
}

interface Encoded {
  readonly blocks: readonly EncodedBlock[];
  /** Lost entries of the parent's leaf, by `digestKey`. */
  readonly lost: ReadonlyMap<string, NodeEntry>;
}

export async function openDiskWriter(options: DiskWriterOptions): Promise<DiskWriter> {
  const { writer, encoder, keys } = options;
  const { hasLoss, isGood } = writer;
  const tree = await openTreeBuilder({ ...options, codec: frameCodec(keys) });
  let last: Promise<void> = Promise.resolve();
  let failure: Error | undefined;

  /** Runs `work` after everything that was handed over before; after a failure runs nothing. */
  function inOrder(work: () => Promise<void>): void {
    last = last.then(async () => {
      if (failure) return;
      try {
        await work();
      } catch (cause) {
        failure = asError(cause);
      }
    });
  }
  async function encode(index: number, slot: Slot, length: number): Promise<Encoded> {
    const before = await tree.parentLeaf(index);
    const blocks = await encoder.encode(slot, length, before);
    const lost = hasLoss ? (before?.entries ?? []).filter((entry) => !isGood(entry)) : [];
    return { blocks, lost: new Map(lost.map((entry) => [digestKey(entry.digest), entry])) };
  }
  async function append(index: number, { blocks, lost }: Encoded): Promise<void> {
    const entries = blocks.map(({ at, span, digest, known, frame }) => {
      const was = hasLoss ? (lost.get(digestKey(digest)) ?? writer.lostPlace(digest)) : undefined;
      const location = known ?? writer.append(frame!, { kind: 'block', digest });
      if (hasLoss) writer.met(digest, location, was);
      return { at, span, digest, ...location, was };
    });
    const leaf = entries.length > 0 ? tree.store({ level: 0, entries }) : undefined;
    await tree.set(index, leaf);
    await writer.drained();
  }
  return {
    async lease() {
      if (failure) throw failure;
      return encoder.lease();
    },
    segment(index, slot, length) {
      const encoded = encode(index, slot, length);
      // Its failure is handled in its turn.
      encoded.catch(() => {});
      inOrder(async () => append(index, await encoded));
      // Also when an earlier failure caused it to be skipped.
      last = last.then(async () => {
        await encoded.catch(() => {});
        encoder.release(slot);
      });
    },
    zero(first, count) {
      inOrder(() => tree.clear(first, count));
    },
    release: (slot) => encoder.release(slot),
    async finish() {
      await last;
      if (failure) throw failure;
      return tree.finish();
    },
  };
}
