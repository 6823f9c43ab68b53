import type { Location, Node } from '../../formats/store/packs/node.ts';
import { packEntriesCrc } from '../../formats/store/packs/pack.ts';
import { encodeReferenceList, encodeReferences } from '../../formats/store/packs/reference-list.ts';
import type { PackBuilder, PackStore } from '../packs/pack-store.ts';

/** What the nodes refer to that were appended to packs which are not sealed yet. */
export interface OpenReferences {
  add(node: Node, at: Location): void;
  /** Writes the list of a pack, if it is one of nodes; durable once it resolves. */
  write(pack: Pick<PackBuilder, 'number' | 'entries'>): Promise<void>;
}

export function openReferences({ references }: Pick<PackStore, 'references'>): OpenReferences {
  const records = new Map<number, Uint8Array[]>();
  return {
    add(node, { pack, offset }) {
      const record = encodeReferences(node, offset);
      const before = records.get(pack);
      if (before) before.push(record);
      else records.set(pack, [record]);
    },
    async write({ number: pack, entries }) {
      const of = records.get(pack);
      if (!of) return;
      const list = encodeReferenceList({ pack, entriesCrc: packEntriesCrc(entries) }, of);
      await references.write(pack, list);
      records.delete(pack);
    },
  };
}
