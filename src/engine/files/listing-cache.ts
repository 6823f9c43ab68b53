import type { Entry } from '../../file-restore/browse/browse.ts';
import { countedTurns, keyedTurns } from '../../lib/mutex.ts';

/** A directory as it was when it was listed. */
export interface Listing {
  readonly entries: readonly Entry[];
  /** Why not all of it is there; null: all is. */
  readonly refused: string | null;
}

export interface ListedPlace {
  /** Of the restore that has the volume open. */
  readonly id: string;
  readonly volume: string;
  readonly path: string;
}

/**
 * The directories that people turn the pages of, so that all pages of one are of one listing. A volume that hangs
 * holds up only those who want something new of it.
 */
export interface Listings {
  /** As it is kept; where it is not, or `isNew`, what `list` answers in its turn. Rejects as `list` does. */
  get(place: ListedPlace, isNew: boolean, list: () => Promise<Listing>): Promise<Listing>;
  /** Its restore is closed. */
  drop(id: string): void;
}

interface KeptListing extends ListedPlace, Listing {}

/** Of one listing: some 50 MiB. */
export const ENTRIES_MAX = 100_000;
/** Of all that are kept. */
const KEPT_ENTRIES_MAX = 2 * ENTRIES_MAX;
/** Small ones are no reason to look through a long list. */
const KEPT_MAX = 64;
/** Each has a program of its own, and up to `ENTRIES_MAX` that are not kept yet: some 300 MiB with those that are. */
const LISTED_AT_ONCE = 4;

/** `isOpen`: whether a restore is. */
export function openListings(isOpen: (id: string) => boolean): Listings {
  /** The one that was asked for last is first. */
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
        // Somebody else may have asked for the same meanwhile.
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
