import { BlockError } from '../../block/block-error.ts';
import { FormatError } from '../../formats/format-error.ts';
import {
  type FrameCodec,
  FRAME_HEADER_LENGTH,
  parseFrameHeader,
} from '../../formats/store/packs/frame.ts';
import { digestKey } from '../../formats/store/base/digest.ts';
import {
  decodeNode,
  type Location,
  type Node,
  type Reference,
} from '../../formats/store/packs/node.ts';
import type { HurtPlace } from '../../formats/store/packs/wanted.ts';
import type { Effort } from '../../block/block-device.ts';
import { placesOf } from '../packs/moved-frames.ts';
import type { PackStore } from '../packs/pack-store.ts';
import type { TryReadFrame } from '../packs/blocking-reads.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { StoreError } from '../packs/store-error.ts';

/** Manifest nodes, authenticated and parsed, with a bounded cache of those above the leaves. */
export interface NodeReader {
  /** `memory`: from the cache only. Undefined on failure too: `node` reports the error. */
  tryNode(reference: Reference, effort: Effort): Node | undefined;
  /** Rejects BlockError CORRUPT or IO. `hurt`: the disk that needs it. */
  node(reference: Reference, hurt?: HurtPlace): Promise<Node>;
}

/** Inner nodes: each covers 256 MiB of a disk or more, and takes some 40 KiB. */
const INNER_NODES_MAX = 512;

/** Compared with blocks, nodes are small and few, so they are decoded in this thread. */
export function nodeReader(
  packs: PackStore,
  codec: FrameCodec,
  tryReadFrame: TryReadFrame = () => false,
): NodeReader {
  const inner = new Map<string, Node>();

  async function read(reference: Reference, location: Location): Promise<Node> {
    const frame = new Uint8Array(location.length);
    await packs.read(frame, location.pack, location.offset);
    return open(frame, reference);
  }
  function tryReadNode(reference: Reference): Node | undefined {
    const { pack, offset, length } = packs.moved.remembered(reference) ?? reference;
    const frame = new Uint8Array(length);
    if (!tryReadFrame(frame, pack, offset)) return undefined;
    try {
      return open(frame, reference);
    } catch (cause) {
      if (cause instanceof FormatError) return undefined;
      throw cause;
    }
  }
  function open(frame: Uint8Array, reference: Reference): Node {
    const plain = new Uint8Array(
      parseFrameHeader(frame.subarray(0, FRAME_HEADER_LENGTH)).plainLength,
    );
    codec.open(frame, plain, reference.digest);
    return decodeNode(plain);
  }
  async function readOrFind(reference: Reference, hurt?: HurtPlace): Promise<Node> {
    let last: Location = reference;
    let failure: unknown;
    const moved = packs.moved.remembered(reference);
    // If that fails, it may still be readable at its own place.
    const there = moved && (await read(reference, moved).catch(() => undefined));
    if (there) return there;
    for await (const place of placesOf(packs.moved, reference)) {
      last = place;
      try {
        return await read(reference, place);
      } catch (cause) {
        failure = cause;
      }
    }
    if (isDamage(failure)) await packs.want({ ...last, digest: reference.digest }, hurt);
    throw failure;
  }
  function keep(key: string, node: Node): Node {
    if (node.level === 0) return node;
    inner.set(key, node);
    if (inner.size > INNER_NODES_MAX) {
      const [oldest] = inner.keys();
      inner.delete(oldest!);
    }
    return node;
  }
  return {
    tryNode(reference, effort) {
      const key = keyOf(reference);
      const known = inner.get(key);
      if (known || effort === 'memory') return known;
      const node = tryReadNode(reference);
      return node && keep(key, node);
    },
    async node(reference, hurt) {
      const key = keyOf(reference);
      const known = inner.get(key);
      if (known) return known;
      try {
        return keep(key, await readOrFind(reference, hurt));
      } catch (cause) {
        throw nodeError(cause, reference);
      }
    },
  };
}

/** Includes the digest: an unauthenticated reference may name one place for two nodes. */
function keyOf({ pack, offset, digest }: Reference): string {
  return `${pack}:${offset}:${digestKey(digest)}`;
}

/** The frame is missing, or is not what it should be. */
function isDamage(cause: unknown): cause is FormatError | StoreError {
  if (cause instanceof FormatError) return true;
  return cause instanceof StoreError && (cause.code === 'MISSING' || cause.code === 'CORRUPT');
}

function nodeError(cause: unknown, { pack, offset }: Location): unknown {
  const damaged = isDamage(cause);
  const failed = cause instanceof StoreError || cause instanceof SystemError;
  if (!damaged && !failed) return cause;
  return new BlockError(
    damaged ? 'CORRUPT' : 'IO',
    `manifest node in pack ${pack} at ${offset}: ${cause.message}; run "store check"`,
    { cause },
  );
}
