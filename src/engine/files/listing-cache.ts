import type { Entry } from '../../file-restore/browse/browse.ts';
import { countedTurns, keyedTurns } from '../../lib/mutex.ts';

/** A directory at the time of its listing. */
export interface Listing {
  readonly entries: readonly Entry[];
  /** Why it is incomplete; null: it is complete. */
  readonly refused: string | null;
}

export interface ListedPlace {
  /** The ID of the restore that has the volume open. */
  readonly id: string;
  readonly volume: string;
  readonly path: string;
}

/**
 * Listings of directories through which people page, so that all pages belong to one listing. A volume that hangs
 * holds up only requests for something new in it.
 */
export interface Listings {
  /** The cached listing; if there is none, or `isNew`, the result of `list` in its turn. Rejects as `list` does. */
  get(place: ListedPlace, isNew: boolean, list: () => Promise<Listing>): Promise<Listing>;
  /** Drops the listings of a closed restore. */
  drop(id: string): void;
}

interface KeptListing extends ListedPlace, Listing {}

/** Limit for one listing: some 50 MiB. */
export const ENTRIES_MAX = 100_000;
/** Limit for all cached listings. */
const KEPT_ENTRIES_MAX = 2 * ENTRIES_MAX;
/** Limits the number of small ones, so that searching stays quick. */
const KEPT_MAX = 64;
/**
 * Each has a program of its own, and up to `ENTRIES_MAX` entries not cached yet: some 300 MiB with the cached ones.
 */
const LISTED_AT_ONCE = 4;

/** `isOpen`: whether a restore is open. */
export function openListings(isOpen: (id: string) => boolean): Listings {
  /** The most recently used one is first. */
  let kept: readonly KeptListing[] = [];
  const volumeTurn = keyedTurns();
  const turn = countedTurns(LISTED_AT_ONCE);

  function keep(listing: KeptListing): Listing {
    const others = kept.filter((it) => !isOf(it, listing));
    let entries = 0;
    kept = [listing, ...others]
      .slice(0, KEPT_MAX)
      .filter((it) => (entries += it.entries.length) <= KEPT_ENTRIES_MAX);
    return listing;
  }
  function keptOf(place: ListedPlace): Listing | undefined {
    const listing = kept.find((it) => isOf(it, place));
    return listing && keep(listing);
  }
  return {
    async get(place, isNew, list) {
      const { id, volume } = place;
      const known = isNew ? undefined : keptOf(place);
      if (known) return known;
      return volumeTurn(`${id}/${volume}`, async () => {
        // Another caller may have listed the same in the meantime.
        const listed = isNew ? undefined : keptOf(place);
        if (listed) return listed;
        const listing = { ...place, ...(await turn(list)) };
        return isOpen(id) ? keep(listing) : listing;
      });
    },
    drop(id) {
      kept = kept.filter((it) => it.id !== id);
    },
  };
}

function isOf(listing: ListedPlace, { id, volume, path }: ListedPlace): boolean {
  return listing.id === id && listing.volume === volume && listing.path === path;
}
