import { FormatError } from '../../formats/format-error.ts';
import type { Location } from '../../formats/store/packs/node.ts';
import { UNIT_SHIFT, visitReferences } from '../../formats/store/packs/reference-list.ts';
import type { Obstacle, Root } from '../directory/roots.ts';
import { PACK_SPAN, PLACE_SHIFT, type Place } from '../packs/trust.ts';
import type { PackStore } from '../packs/pack-store.ts';
import { StoreError } from '../packs/store-error.ts';
import { type Bits, bits } from '../packs/bits.ts';
import { type LiveFrames, liveFrames } from './live-frames.ts';

/**
 * Finds out which frames are needed, without any key: from the roots down, pack by pack. Packs are taken from the
 * highest number down, for a node is written after those below it, so that each list is read about once.
 */
export interface Marking {
  readonly live: LiveFrames;
  /** At most some for each domain. */
  readonly obstacles: readonly Obstacle[];
  /** The greatest number of a pack of which a domain needs something; 0: there is none. */
  highest(domain: string): number;
  /**
   * Adds all that these roots need, and where needed frames have moved since the last time. What was marked before is
   * not entered again.
   */
  add(roots: Iterable<Root>): Promise<void>;
  /** Packs with moved frames. */
  readonly moved: ReadonlySet<number>;
  /** Whether a pack was there when roots were added last. */
  isThere(pack: number): boolean;
  /** Packs that were gone, so that nothing was remembered of them, are back or moved: the mark has to begin again. */
  readonly isOutdated: boolean;
  /** Whether the pack is gone, and no block in it is needed: a node in it would be an obstacle. */
  isUnneeded(pack: number): boolean;
}

/** More numbers than this, a forged list may name: its domain is left alone then. */
const UNKNOWN_MAX = 100_000;
/** Obstacles told of one domain. */
const OBSTACLES_MAX = 20;

export function beginMarking(packs: PackStore): Marking {
  const live = liveFrames();
  const highest = new Map<string, number>();
  const obstacles: Obstacle[] = [];
  const domains = new Set<string>();
  const unknown = new Set<number>();
  let isFirst = true;
  let isOutdated = false;

  function reach(domain: string, pack: number): void {
    if (live.knows(pack) && pack > (highest.get(domain) ?? 0)) highest.set(domain, pack);
  }
  function tell(obstacle: Obstacle): void {
    const of = obstacles.filter(({ domain }) => domain === obstacle.domain);
    // A later `add` meets the same again.
    const isTold = of.some(({ where, what }) => where === obstacle.where && what === obstacle.what);
    if (!isTold && of.length < OBSTACLES_MAX) obstacles.push(obstacle);
  }
  const state: MarkState = { live, unknown, there: new Set(), moved: new Set(), reach, tell };
  return {
    live,
    obstacles,
    highest: (domain) => highest.get(domain) ?? 0,
    get moved() {
      return state.moved;
    },
    isThere: (pack) => state.there.has(pack),
    get isOutdated() {
      return isOutdated;
    },
    isUnneeded: (pack) => !live.knows(pack) && !unknown.has(pack),
    async add(roots) {
      // What was published since the last time may be in packs that were made since then.
      const moved = new Set(await packs.moved.list());
      const there = new Set(await packs.list());
      Object.assign(state, { moved, there });
      const isBack = (pack: number): boolean => there.has(pack) || moved.has(pack);
      const isNewlyMoved = [...moved].some((pack) => !there.has(pack) && !live.knows(pack));
      // Nothing is remembered of what is needed in a pack that was missing.
      if (!isFirst && (isNewlyMoved || [...unknown].some(isBack))) isOutdated = true;
      isFirst = false;
      live.know([...there, ...moved]);
      const byDomain = Map.groupBy(roots, (it) => it.domain);
      for (const domain of byDomain.keys()) domains.add(domain);
      for (const domain of domains) {
        await markDomain(packs, state, { domain, roots: byDomain.get(domain) ?? [] });
      }
    },
  };
}

/** What all domains share while they are marked. */
interface MarkState {
  readonly live: LiveFrames;
  /** Packs of needed blocks that were missing. */
  readonly unknown: Set<number>;
  /** Packs that are there, and packs of which frames have moved. */
  there: ReadonlySet<number>;
  moved: ReadonlySet<number>;
  reach(domain: string, pack: number): void;
  tell(obstacle: Obstacle): void;
}

/** Marks all that is needed of one domain. */
async function markDomain(
  packs: PackStore,
  state: MarkState,
  { domain, roots }: { readonly domain: string; readonly roots: readonly Root[] },
): Promise<void> {
  const { live, unknown, there, moved, reach, tell } = state;
  /** Nodes that are needed and not entered yet, by pack. */
  const pending = new Map<number, Bits>();

  function need(place: Place, where: string): void {
    const { pack, offset } = place;
    reach(domain, pack);
    if (!live.knows(pack) || offset >= PACK_SPAN) {
      tell({ domain, where, what: `it refers to ${packs.path(pack)}, which is missing` });
    } else if (live.addNode(place)) {
      const of = pending.get(pack) ?? bits();
      of.add(offset >>> PLACE_SHIFT);
      pending.set(pack, of);
    }
  }
  /** Enters the needed nodes of a pack, and those in it to which they refer. False: it has no list. */
  async function enter(pack: number, of: Bits): Promise<boolean> {
    const { count, entriesCrc } = await packs.summary(pack);
    const list = await packs.references.of(pack, count);
    if (!list) return false;
    for (let entered = -1; of.size > 0 && entered !== 0; ) {
      entered = 0;
      visitReferences(
        list,
        { pack, entriesCrc },
        {
          wants: (offset) => {
            const isWanted = of.delete(offset >>> PLACE_SHIFT);
            if (isWanted) entered++;
            return isWanted;
          },
          block(to, unit) {
            reach(domain, to);
            if (live.knows(to)) live.addBlock(to, unit);
            else if (unknown.size < UNKNOWN_MAX) unknown.add(to);
            else
              tell({ domain, where: packs.path(pack), what: 'it refers to very many lost packs' });
          },
          node: (to, offset) => need({ pack: to, offset }, packs.path(pack)),
        },
      );
    }
    return true;
  }
  /** What is left of a pack's nodes must have moved. */
  async function leave(pack: number, of: Bits, what: string): Promise<void> {
    for (const old of (await movedOf(packs, state, { domain, pack })).keys())
      of.delete(old >>> PLACE_SHIFT);
    if (of.size === 0) return;
    const unlisted = there.has(pack) ? { unlisted: pack } : {};
    tell({ domain, where: packs.path(pack), what, ...unlisted });
  }
  async function enterAll(): Promise<void> {
    while (pending.size > 0) {
      const pack = Math.max(...pending.keys());
      const of = pending.get(pack)!;
      await leave(pack, of, (await enterKnown(pack, of)) ?? 'needed nodes are not in its list');
      pending.delete(pack);
    }
  }
  /** The reason why not all could be entered; undefined: there is none, or the list lacks the rest. */
  async function enterKnown(pack: number, of: Bits): Promise<string | undefined> {
    if (!there.has(pack)) return 'it is missing';
    try {
      const isListed = await enter(pack, of);
      return isListed ? undefined : 'it has no list of references yet';
    } catch (cause) {
      if (!(cause instanceof FormatError) && !(cause instanceof StoreError)) throw cause;
      return cause.message;
    }
  }
  /** Frames that are needed at a former place are needed where they have moved to. Whether that added any. */
  async function follow(): Promise<boolean> {
    let added = false;
    for (const pack of moved) {
      for (const [offset, to] of await movedOf(packs, state, { domain, pack })) {
        const old = { pack, offset };
        if (live.has('node', old)) need(to, packs.moved.path(pack));
        const isBlock = live.has('block', old);
        if (isBlock && live.addBlock(to.pack, to.offset >>> UNIT_SHIFT)) added = true;
      }
    }
    return added || pending.size > 0;
  }
  for (const { place, where } of roots) need(place, where);
  do await enterAll();
  while (await follow());
}

async function movedOf(
  packs: PackStore,
  { moved, tell }: MarkState,
  { domain, pack }: { readonly domain: string; readonly pack: number },
): Promise<ReadonlyMap<number, Location>> {
  if (!moved.has(pack)) return new Map();
  try {
    return await packs.moved.of(pack);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    // Any frame may have been in it, and may have gone anywhere.
    tell({ domain, where: packs.moved.path(pack), what: cause.message });
    return new Map();
  }
}
