import { assert } from '../../../lib/assert.ts';
import { turnOfLoop } from '../../../lib/turn-of-loop.ts';
import type { File } from '../../../sys/files/file-system.ts';
import {
  ABSENT,
  continues,
  isInOneSegment,
  locationAt,
  segmentOf,
  ZERO,
  type LocationRun,
} from './location-nodes.ts';
import { nodeBodies, type NodeBodies } from './node-bodies.ts';
import { locationTree, type LocationTree } from './location-tree.ts';
import { zeroTurns } from './zero-turns.ts';

export { ABSENT, ZERO, type LocationRun };

/**
 * A body of 4 KiB, for 512 pieces or the locations of 1,024 pages (4 MiB of disk). One turn zeros 64 bodies, as many
 * as 65,536 separate pages take: about 1 ms.
 */
const LIMITS: PageLocationsLimits = { bodyLength: 1024, turnNodes: 64, bodiesMin: 64 };
/** Memory that V8 uses for a node and its list entries, and for a body besides its words. */
const NODE_BYTES = 160;
const BODY_BYTES = 200;
/** Nodes visited in one turn of the loop. */
const READ_NODES = 16;

/**
 * The location of each page of a disk in the log of its overlay: segment index << 14 | place; ABSENT for pages not
 * written, ZERO for zeros.
 *
 * An ordered list of nodes (location-nodes.ts) over the whole disk. A range that is uniform or was written
 * sequentially is one piece of a node, whatever its length; pages that were written one by one take 4 bytes each
 * where they are dense, and about 25 each where they are isolated. A trim costs as much as it removes, not as much as
 * it covers.
 */
export interface PageLocations {
  get(page: number): number;
  /** Puts `count` pages at `location` and the following places, in one segment. */
  set(first: number, count: number, location: number): void;
  /**
   * Zeros the range: readers see zeros as soon as it is called, and a later `set` wins. The work is done in turns of
   * the loop. If it rejects, because the scratch file cannot be read, some pages may be unchanged.
   */
  zero(first: number, count: number): Promise<void>;
  /** True only if all pages are zeros; also false where that needs more than the nodes in memory. */
  isZero(first: number, count: number): boolean;
  /** Ascending runs that cover the range, including absent pages. Pages that are alike or consecutive are one run. */
  runs(first: number, count: number): readonly LocationRun[];
  /** Ascending runs of all pages that are not absent. Changes made in the meantime may or may not show. */
  written(): AsyncGenerator<LocationRun>;
  /**
   * Whether `get`, `set` and `runs` may be called in this turn for the range, which is that of a request and not half
   * a disk. If not: `load`, then ask again. `zero` and `written` do this themselves.
   */
  ready(first: number, count: number): boolean;
  load(first: number, count: number): Promise<void>;
  /** Number of pages that lie in segments. */
  readonly dataPages: number;
  /** Approximate memory in bytes. */
  readonly memory: number;
}

export interface PageLocationsLimits {
  /** Length of a node's body in words, a power of two: that many pages, or half as many pieces. */
  readonly bodyLength: number;
  /** Nodes set to zeros in one turn of the loop. */
  readonly turnNodes: number;
  /** Bodies kept in memory even where the nodes alone exceed the budget. */
  readonly bodiesMin: number;
}

export interface PageLocationsOptions {
  /** The disk's number of pages. */
  readonly pages: number;
  /** Called when `count` pages no longer lie in a segment. */
  readonly replaced: (segment: number, count: number) => void;
  /** Bytes of memory: beyond it, the least recently used bodies go to a scratch file. */
  readonly budget: number;
  /** Creates an unnamed file. This module closes it and never syncs it. */
  readonly scratch: () => Promise<File>;
  /** Tests use smaller nodes. */
  readonly limits?: Partial<PageLocationsLimits>;
}

export function pageLocations(options: PageLocationsOptions): PageLocations & AsyncDisposable {
  const { pages, replaced, budget, scratch } = options;
  const { bodyLength: length, turnNodes, bodiesMin } = { ...LIMITS, ...options.limits };
  // Pages of the last node beyond the disk are treated like the last page, so that zeros may be one piece.
  const limit = Math.ceil(pages / length) * length;
  let dataPages = 0;
  const bodies = nodeBodies({
    length,
    limit() {
      const left = budget - tree.count * NODE_BYTES;
      return Math.max(bodiesMin, Math.floor(left / (4 * length + BODY_BYTES)));
    },
    scratch,
  });
  const zeros = zeroTurns({ tree: () => tree, turnNodes, bodies });
  const tree: LocationTree = locationTree({
    pages: limit,
    length,
    lost(_, count, location) {
      if (location <= ZERO) return;
      dataPages -= count;
      replaced(segmentOf(location), count);
    },
    changed: bodies.changed,
    mayJoin: zeros.areEven,
  });

  function check(first: number, count: number): void {
    assert(first >= 0 && count > 0 && first + count <= pages, 'pages are of this disk');
  }
  /** Pending zeros are applied first: a writer that patches a page must not find its old contents. */
  function runs(first: number, end: number): LocationRun[] {
    zeros.settle(first, end);
    return tree.runs(first, end);
  }

  return {
    get(page) {
      check(page, 1);
      zeros.settle(page, page + 1);
      return locationAt(tree.find(page), page);
    },
    set(first, count, location) {
      check(first, count);
      assert(isInOneSegment(location, count), 'pages of one set lie in one segment');
      zeros.settle(first, first + count);
      const isSmall = tree.replace(first, first + count, location);
      dataPages += count;
      if (isSmall) tree.tidy(first, first + count);
    },
    async zero(first, count) {
      check(first, count);
      await zeros.zero(first, first + count === pages ? limit : first + count);
    },
    isZero(first, count) {
      check(first, count);
      return tree.isAll(first, first + count, ZERO);
    },
    runs(first, count) {
      check(first, count);
      return runs(first, first + count);
    },
    written: () => written({ pages, tree, bodies, runs }),
    ready: (first, count) => bodies.areReady || bodies.ready(tree.nodes(first, first + count)),
    load: (first, count) => bodies.load(tree.nodes(first, first + count)),
    get dataPages() {
      return dataPages;
    },
    get memory() {
      return bodies.inMemory * (4 * length + BODY_BYTES) + tree.count * NODE_BYTES;
    },
    [Symbol.asyncDispose]: () => bodies[Symbol.asyncDispose](),
  };
}

interface Written {
  readonly pages: number;
  readonly tree: LocationTree;
  readonly bodies: NodeBodies;
  readonly runs: (first: number, end: number) => readonly LocationRun[];
}

async function* written({ pages, tree, bodies, runs }: Written): AsyncGenerator<LocationRun> {
  let last: LocationRun | undefined;
  for (let page = 0; page < pages; ) {
    await turnOfLoop();
    const nodes = tree.nodes(page, pages, READ_NODES);
    if (!bodies.ready(nodes.slice(0, 1))) {
      await bodies.load(nodes);
      continue;
    }
    const missing = nodes.find((node) => !bodies.ready([node]));
    const end = missing?.start ?? Math.min(nodes.at(-1)!.end, pages);
    const found = runs(page, end);
    page = end;
    for (const run of found) {
      if (last && continues(last.location, last.count, run.location)) {
        last = { ...last, count: last.count + run.count };
        continue;
      }
      if (last && last.location !== ABSENT) yield last;
      last = run;
    }
  }
  if (last && last.location !== ABSENT) yield last;
}
