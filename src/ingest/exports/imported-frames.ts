import type { OpenSet } from '../../catalog/sets.ts';
import { FormatError } from '../../formats/format-error.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import {
  checkFrame,
  FRAME_HEADER_LENGTH,
  FRAME_LENGTH_MAX,
  frameCodec,
  type FrameHeader,
  NONCE_LENGTH,
  PLAIN_LENGTH_MAX,
} from '../../formats/store/packs/frame.ts';
import {
  decodeNode,
  encodeNode,
  type Node,
  type NodeEntry,
  type Reference,
  rootLevel,
} from '../../formats/store/packs/node.ts';
import type { Random } from '../../sys/base/random.ts';
import type { ScratchMap } from '../../store/index/scratch-map.ts';
import type { StoreWriter } from '../../store/write/store-writer.ts';

/*
 * Frames of an export, brought into a store. Blocks are stored as they are, unless the store has them. Nodes name
 * places in the store that they come from, so they are encoded again with the places here; what became of each is
 * noted under its former digest, for the nodes and points that name it. That map lies on the disk: a node for each
 * MiB of a disk is too much for memory.
 */

export interface ImportedFrames {
  /**
   * Throws FormatError for a frame that is not what it says; nothing of it is stored then. A node whose children are
   * missing is left out.
   */
  add(frame: Uint8Array): Promise<void>;
  /** The point with the places here; undefined: something that it needs is missing. */
  placed(point: PointRecord): PointRecord | undefined;
}

/** Takes the room that a new frame needs; rejects NO_SPACE. */
export type TakeRoom = (bytes: number) => Promise<void>;

interface Parts {
  readonly set: OpenSet;
  readonly writer: StoreWriter;
  readonly map: ScratchMap;
  readonly random: Random;
  readonly takeRoom: TakeRoom;
}

export function importedFrames({ set, writer, map, random, takeRoom }: Parts): ImportedFrames {
  const codec = frameCodec(set.keys);
  const plain = new Uint8Array(PLAIN_LENGTH_MAX);
  const sealed = new Uint8Array(FRAME_LENGTH_MAX);

  /** Only what is authentic: a later backup of the same contents would refer to it. */
  async function addBlock(frame: Uint8Array, { digest, plainLength }: FrameHeader): Promise<void> {
    if (writer.find(digest)) return;
    codec.open(frame, plain.subarray(0, plainLength), digest);
    await takeRoom(frame.length);
    writer.met(digest, writer.append(frame, { kind: 'block', digest }));
  }
  async function addNode(frame: Uint8Array, { digest, plainLength }: FrameHeader): Promise<void> {
    const bytes = new Uint8Array(plainLength);
    codec.open(frame, bytes, digest);
    const { level, entries } = decodeNode(bytes);
    const here: NodeEntry[] = [];
    for (const entry of entries) {
      const child = level === 0 ? blockHere(entry) : nodeHere(entry, level - 1);
      if (!child) return;
      here.push({ ...entry, ...child });
    }
    await map.put(digest, encodePlaced(await storeNode({ level, entries: here }), level));
  }
  function blockHere({ digest }: Reference): Reference | undefined {
    const place = writer.find(digest);
    return place && { ...place, digest };
  }
  function nodeHere({ digest }: Reference, level: number): Reference | undefined {
    const placed = map.get(digest);
    const found = placed && decodePlaced(placed);
    return found?.level === level ? found.reference : undefined;
  }
  async function storeNode(node: Node): Promise<Reference> {
    const contents = encodeNode(node);
    const digest = codec.digest(contents);
    const location = writer.find(digest) ?? (await append(node, contents, digest));
    writer.met(digest, location);
    return { ...location, digest };
  }
  async function append(node: Node, contents: Uint8Array, digest: Uint8Array) {
    const nonce = random.bytes(NONCE_LENGTH);
    const length = codec.seal(contents, sealed, { kind: 'node', digest, nonce });
    await takeRoom(length);
    return writer.append(sealed.subarray(0, length), { kind: 'node', digest, node });
  }
  return {
    async add(frame) {
      const header = checkFrame(frame);
      if (frame.length !== FRAME_HEADER_LENGTH + header.storedLength) {
        throw new FormatError('CORRUPT', 'bytes follow the frame in its record');
      }
      await (header.kind === 'block' ? addBlock(frame, header) : addNode(frame, header));
    },
    placed(point) {
      let isWhole = true;
      const place = <T extends { reference: Reference | undefined; size: number }>(it: T): T => {
        const { reference, size } = it;
        const here = reference && nodeHere(reference, rootLevel(size));
        if (reference && !here) isWhole = false;
        return { ...it, reference: here };
      };
      const disks = point.disks.map(place);
      const files = point.files?.map(place);
      return isWhole ? { ...point, disks, files } : undefined;
    },
  };
}

const PLACED_LENGTH = 16;

/** A node where it is now: u32 level, pack, offset, length; digest. Only for this process: of no version. */
function encodePlaced({ pack, offset, length, digest }: Reference, level: number): Uint8Array {
  const bytes = new Uint8Array(PLACED_LENGTH + digest.length);
  const view = new DataView(bytes.buffer);
  for (const [at, value] of [level, pack, offset, length].entries()) {
    view.setUint32(4 * at, value, true);
  }
  bytes.set(digest, PLACED_LENGTH);
  return bytes;
}

function decodePlaced(bytes: Uint8Array): {
  readonly level: number;
  readonly reference: Reference;
} {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [level = 0, pack = 0, offset = 0, length = 0] = [0, 4, 8, 12].map((at) =>
    view.getUint32(at, true),
  );
  return { level, reference: { pack, offset, length, digest: bytes.slice(PLACED_LENGTH) } };
}
