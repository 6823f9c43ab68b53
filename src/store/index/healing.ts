import { digestKey } from '../../formats/store/base/digest.ts';
import type { Location } from '../../formats/store/packs/node.ts';
import type { Stock } from './stock.ts';
import type { Store } from '../directory/store.ts';
import { locationKey, PACK_SPAN, type Place, trustOf } from '../packs/trust.ts';

/** Writes down where frames are now whose old places are lost or damaged: older recovery points find them there. */
export interface Healing {
  /** Contents are at `now`; the old places, and those that are marked, give them no more. */
  note(digest: Uint8Array, now: Location, old: readonly (Place | undefined)[]): void;
  /** How much waits for `write`. */
  readonly waiting: number;
  /** Moves into packs that are durable, and the marks that they settle. */
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

  /** Marks and leaves of sets that are not encrypted may be made up: nothing is written down of such places. */
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
      // A file is read, added to and replaced: one at a time, also while packs are sealed beside.
      const done = last.then(() => write(ready.map(([, move]) => move)));
      last = done.catch(() => {});
      await done;
    },
  };
}

function isSame(a: Place, b: Place): boolean {
  return a.pack === b.pack && a.offset === b.offset;
}
