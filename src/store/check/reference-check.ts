import { type DomainKeys, frameCodec } from '../../formats/store/packs/frame.ts';
import {
  type ReferenceVisitor,
  visitReferences,
} from '../../formats/store/packs/reference-list.ts';
import { agrees, listFromNodes } from '../nodes/node-references.ts';
import type { PackStore } from '../packs/pack-store.ts';
import { reason } from './problem.ts';

const NO_REFERENCES: ReferenceVisitor = { wants: () => false, block() {}, node() {} };

/** The defect of a pack's reference list. With keys it is compared with the nodes. A list may be absent. */
export async function referenceDefect(
  packs: PackStore,
  pack: number,
  keys: DomainKeys | undefined,
): Promise<string | undefined> {
  const footer = await packs.footer(pack);
  const { entries, entriesCrc } = footer;
  let list: Uint8Array | undefined;
  try {
    list = await packs.references.of(pack, entries.length);
    if (!list) return undefined;
    visitReferences(list, { pack, entriesCrc }, NO_REFERENCES);
  } catch (cause) {
    return `${reason(cause)}; the next sweep that has the key of its set writes it again`;
  }
  if (!keys) return undefined;
  try {
    const made = await listFromNodes(packs, footer, frameCodec(keys));
    if (agrees({ pack, entriesCrc }, list, made)) return undefined;
    return 'it is not what the nodes of its pack say: remove it, and sweep with the key of its set';
  } catch (cause) {
    // Damaged nodes are reported with their pack.
    reason(cause);
    return undefined;
  }
}
