import { type DomainKeys, frameCodec } from '../../formats/store/packs/frame.ts';
import { visitReferences } from '../../formats/store/packs/reference-list.ts';
import { FormatError } from '../../formats/format-error.ts';
import type { PackFooter } from '../packs/pack-store.ts';
import { BlockError } from '../../block/block-error.ts';
import type { Store } from '../directory/store.ts';
import { listFromNodes } from '../nodes/node-references.ts';
import { StoreError } from '../packs/store-error.ts';
import { lockSlice, type SliceOptions } from './slice-lock.ts';

export interface ListOptions extends SliceOptions {
  /** By domain, in hexadecimal digits: only packs of these are looked at. */
  readonly keys: ReadonlyMap<string, DomainKeys>;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Makes the reference lists that are missing or damaged from the nodes: packs of earlier releases have none. What
 * cannot be read stays without. Answers how many were written.
 */
export async function writeMissingLists(
  store: Store,
  { keys, onProgress, ...slice }: ListOptions,
): Promise<number> {
  const { packs } = store;
  const numbers = await packs.list();
  let written = 0;
  for (const [at, pack] of numbers.entries()) {
    slice.signal?.throwIfAborted();
    onProgress?.(at, numbers.length);
    try {
      const { header } = await packs.summary(pack);
      const own = keys.get(Buffer.from(header.domain).toString('hex'));
      if (header.kind !== 'node' || header.number !== pack || !own) continue;
      const footer = await packs.footer(pack);
      if (await hasList(store, footer)) continue;
      const list = await listFromNodes(packs, footer, frameCodec(own));
      // One pack at a time: a backup that waits goes on in between.
      await using _lock = await lockSlice(store, slice);
      await packs.references.write(pack, list);
      written++;
    } catch (cause) {
      // The mark names it, if anything in it is needed.
      if (!isUnreadable(cause)) throw cause;
    }
  }
  return written;
}

async function hasList({ packs }: Store, { header, entries, entriesCrc }: PackFooter) {
  if (entries.length === 0) return true;
  try {
    const list = await packs.references.of(header.number, entries.length);
    const all = { wants: () => false, block() {}, node() {} };
    if (list) visitReferences(list, { pack: header.number, entriesCrc }, all);
    return list !== undefined;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return false;
  }
}

function isUnreadable(cause: unknown): boolean {
  return cause instanceof StoreError || cause instanceof FormatError || cause instanceof BlockError;
}
