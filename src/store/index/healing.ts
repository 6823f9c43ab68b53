import { digestKey } from '../../formats/store/base/digest.ts';
import type { Location } from '../../formats/store/packs/node.ts';
import type { Stock } from './stock.ts';
import type { Store } from '../directory/store.ts';
import { locationKey, PACK_SPAN, type Place, trustOf } from '../packs/trust.ts';

/** Records the new places of frames whose old places are lost or damaged: older recovery points find them there. */
export interface Healing {
  /** The contents are at `now`; the old places, and marked ones, no longer hold them. */
  note(digest: Uint8Array, now: Location, old: readonly (Place | undefined)[]): void;
  /** The number of moves that wait for `write`. */
  readonly waiting: number;
  /** Writes moves into packs that are durable, and settles their marks. */
  write(isDurable: (pack: number) => boolean): Promise<void>;
}

interface Move {
  readonly old: Place;
  readonly now: Location;
  readonly digest: Uint8Array;
}

export function healing({ packs }: Store, { trust, marks }: Stock): Healing {
  const { isKnown } = trustOf(trust);
  /** By `locationKey` of the old place. */
  let waiting = new Map<number, Move>();
  let last: Promise<void> = Promise.resolve();

  /** Marks and leaves of unencrypted sets may be forged: impossible places are not recorded. */
  function isPlace({ pack, offset }: Place): boolean {
    return pack > 0 && pack < trust.firstNew && offset < PACK_SPAN;
  }
  async function write(moves: readonly Move[]): Promise<void> {
    const byPack = Map.groupBy(moves, ({ old }) => old.pack);
    for (const [pack, of] of byPack) {
      const frames = new Map(of.map(({ old, now }) => [old.offset, now]));
      await packs.moved.add(pack, frames);
      for (const { old, digest } of of) {
        const isMarked = marks.get(digestKey(digest))?.some((it) => isSame(it, old));
        if (isMarked) {
          await packs.wanted.remove({ pack, frame: { offset: old.offset, digest } });
        }
      }
    }
  }
  return {
    note(digest, now, old) {
      for (const place of [...(marks.get(digestKey(digest)) ?? []), ...old]) {
        if (!place || !isPlace(place) || isKnown(place) || isSame(place, now)) continue;
        const key = locationKey(place);
        if (!waiting.has(key)) waiting.set(key, { old: place, now, digest: digest.slice() });
      }
    },
    get waiting() {
      return waiting.size;
    },
    async write(isDurable) {
      const all = [...waiting];
      const ready = all.filter(([, { now }]) => isDurable(now.pack));
      if (ready.length === 0) return;
      waiting = new Map(all.filter(([, { now }]) => !isDurable(now.pack)));
      // A file is read, extended and replaced: one at a time, even while packs are sealed in parallel.
      const done = last.then(() => write(ready.map(([, move]) => move)));
      last = done.catch(() => {});
      await done;
    },
  };
}

function isSame(a: Place, b: Place): boolean {
  return a.pack === b.pack && a.offset === b.offset;
}
