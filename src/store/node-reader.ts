import { BlockError } from '../block/block-error.ts';
import { FormatError } from '../formats/format-error.ts';
import { type FrameCodec, FRAME_HEADER_LENGTH, parseFrameHeader } from '../formats/store/frame.ts';
import { decodeNode, type Location, type Node, type Reference } from '../formats/store/node.ts';
import type { ReadFrame } from './decoder.ts';
import type { PackFiles } from './pack-files.ts';
import { SystemError } from '../sys/system-error.ts';
import { StoreError } from './store-error.ts';

/** Manifest nodes, authenticated and parsed, with a bounded cache of those above the leaves. */
export interface NodeReader {
  /** From the cache only. */
  tryNode(reference: Reference): Node | undefined;
  /** Rejects BlockError CORRUPT or IO. */
  node(reference: Reference): Promise<Node>;
}

/** Inner nodes: each stands for 256 MiB of a disk or more, and takes some 40 KiB. */
const INNER_NODES_MAX = 512;

/** Nodes are small and few beside blocks, so they are decoded in this thread. `readFrame`: how to get them. */
export function nodeReader(
  packs: PackFiles,
  codec: FrameCodec,
  readFrame: ReadFrame = packs.read,
): NodeReader {
  const inner = new Map<string, Node>();

  async function read(reference: Reference, location: Location): Promise<Node> {
    const frame = new Uint8Array(location.length);
    await readFrame(frame, location.pack, location.offset);
    const plain = new Uint8Array(
      parseFrameHeader(frame.subarray(0, FRAME_HEADER_LENGTH)).plainLength,
    );
    codec.open(frame, plain, reference.digest);
    return decodeNode(plain);
  }
  async function readOrFind(reference: Reference): Promise<Node> {
    try {
      return await read(reference, reference);
    } catch (cause) {
      const stale = cause instanceof FormatError || (cause as StoreError).code === 'MISSING';
      const moved = stale ? await packs.locate(reference.digest).catch(() => undefined) : undefined;
      const elsewhere = moved?.pack !== reference.pack || moved.offset !== reference.offset;
      if (moved && elsewhere) return read(reference, moved);
      throw cause;
    }
  }
  function keep(key: string, node: Node): void {
    inner.set(key, node);
    if (inner.size > INNER_NODES_MAX) {
      const [oldest] = inner.keys();
      inner.delete(oldest!);
    }
  }
  return {
    tryNode: (reference) => inner.get(keyOf(reference)),
    async node(reference) {
      const key = keyOf(reference);
      const known = inner.get(key);
      if (known) return known;
      try {
        const node = await readOrFind(reference);
        if (node.level > 0) keep(key, node);
        return node;
      } catch (cause) {
        throw nodeError(cause, reference);
      }
    },
  };
}

function keyOf({ pack, offset }: Location): string {
  return `${pack}:${offset}`;
}

function nodeError(cause: unknown, { pack, offset }: Location): unknown {
  const damaged =
    cause instanceof FormatError ||
    (cause instanceof StoreError && (cause.code === 'MISSING' || cause.code === 'CORRUPT'));
  const failed = cause instanceof StoreError || cause instanceof SystemError;
  if (!damaged && !failed) return cause;
  return new BlockError(
    damaged ? 'CORRUPT' : 'IO',
    `manifest node in pack ${pack} at ${offset}: ${cause.message}; run "store check"`,
    { cause },
  );
}
