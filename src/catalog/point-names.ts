import type { Store } from '../store/directory/store.ts';
import { checkName } from './names.ts';
import { setNames } from './sets.ts';
import { idTime, pointIds, type PointPlace, pointsDirectory } from './point-places.ts';

/*
 * The IDs of all recovery points, newest first by the time in them, kept between calls: listing and sorting 100,000
 * names takes a third of a second, and people page through them quickly. The directories show whether anything has
 * changed, regardless of who changed it.
 */
export interface PointNames {
  /** The places of one set, or of all sets. Rejects NOT_FOUND. */
  newestFirst(set: string | undefined): Promise<readonly PointPlace[]>;
}

/**
 * A directory that changed this shortly before it was listed may have changed again since, within one tick of the
 * file system's clock (at most 10 ms; FAT's 2 s).
 */
const SETTLED_MS = 3000;

interface Listing {
  readonly modifiedMs: number;
  readonly places: readonly PointPlace[];
}

export function pointNames(store: Store): PointNames {
  const listings = new Map<string, Listing>();
  let merged: { readonly of: readonly unknown[]; readonly places: readonly PointPlace[] } = {
    of: [],
    places: [],
  };
  async function ofSet(set: string): Promise<readonly PointPlace[]> {
    checkName(set, 'backup set');
    // Before the names are read: a change in the meantime shows next time.
    const status = await store.files.stat(pointsDirectory(store, set));
    const modifiedMs = status?.modifiedMs ?? Number.NaN;
    const known = listings.get(set);
    if (known?.modifiedMs === modifiedMs) return known.places;
    const listedMs = store.clock.now().getTime();
    const ids = await pointIds(store, set);
    const places = sorted(ids.map((id) => ({ set, id })));
    if (listedMs - modifiedMs > SETTLED_MS) listings.set(set, { modifiedMs, places });
    else listings.delete(set);
    return places;
  }
  return {
    async newestFirst(set) {
      if (set !== undefined) return ofSet(set);
      const of: (readonly PointPlace[])[] = [];
      const names = await setNames(store);
      for (const name of names) of.push(await ofSet(name));
      for (const name of listings.keys()) if (!names.includes(name)) listings.delete(name);
      if (of.length === 1) return of[0]!;
      const isSame = of.length === merged.of.length && of.every((it, at) => it === merged.of[at]);
      if (!isSame) merged = { of, places: sorted(of.flat()) };
      return merged.places;
    },
  };
}

/** The times are extracted first: parsing IDs in each comparison would take most of the time. */
function sorted(places: readonly PointPlace[]): readonly PointPlace[] {
  const times = Float64Array.from(places, ({ id }) => idTime(id));
  const order = Uint32Array.from(places, (_, at) => at);
  order.sort(
    (a, b) => times[b]! - times[a]! || (places[a]!.id < places[b]!.id ? 1 : -1) * Number(a !== b),
  );
  return Array.from(order, (at) => places[at]!);
}
