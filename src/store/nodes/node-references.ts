import {
  FRAME_LENGTH_MAX,
  type FrameCodec,
  parseFrameHeader,
  PLAIN_LENGTH_MAX,
} from '../../formats/store/packs/frame.ts';
import { decodeNode } from '../../formats/store/packs/node.ts';
import {
  encodeReferenceList,
  encodeReferences,
  type ListedPack,
  visitReferences,
} from '../../formats/store/packs/reference-list.ts';
import type { PackFooter, PackStore } from '../packs/pack-store.ts';
import { livingEntries } from '../packs/swept-packs.ts';

/**
 * The reference list of a pack of nodes, made from those that are not dead. Rejects FormatError or StoreError if one of
 * them cannot be read, and FormatError if the codec has other keys.
 */
export async function listFromNodes(
  packs: PackStore,
  footer: PackFooter,
  codec: FrameCodec,
): Promise<Uint8Array> {
  const { header, entriesCrc } = footer;
  const entries = await livingEntries(packs, header.number, footer);
  const memory = new Uint8Array(FRAME_LENGTH_MAX);
  const plain = new Uint8Array(PLAIN_LENGTH_MAX);
  const { number: pack } = header;
  const records: Uint8Array[] = [];
  for (const { digest, offset, length } of entries) {
    const frame = memory.subarray(0, length);
    await packs.read(frame, pack, offset);
    const contents = plain.subarray(0, parseFrameHeader(frame).plainLength);
    codec.open(frame, contents, digest);
    records.push(encodeReferences(decodeNode(contents), offset));
  }
  return encodeReferenceList({ pack, entriesCrc }, records);
}

/** Whether a pack's list says of each node in `made` the same as that does. Throws FormatError if one is damaged. */
export function agrees(listed: ListedPack, list: Uint8Array, made: Uint8Array): boolean {
  const said = referencesByNode(listed, list);
  return [...referencesByNode(listed, made)].every(([node, text]) => said.get(node) === text);
}

/** By the offset of each node its level and places, as text. */
function referencesByNode(listed: ListedPack, list: Uint8Array): Map<number, string> {
  const found = new Map<number, string>();
  let node = -1;
  const add = (...of: readonly number[]): void => {
    found.set(node, `${found.get(node)} ${of.join(':')}`);
  };
  visitReferences(list, listed, {
    wants(offset, level) {
      node = offset;
      found.set(node, String(level));
      return true;
    },
    block: add,
    node: add,
  });
  return found;
}
