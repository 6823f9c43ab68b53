import {
  ABSENT,
  advance,
  becomeDense,
  continues,
  cut,
  emptyNode,
  isInMemory,
  join,
  middle,
  put,
  SPAN_MAX,
  visit,
  type LocationNode,
  type LocationRun,
} from './location-nodes.ts';
import { nodeList, type NodeList } from './node-list.ts';

/** The pages of a disk in nodes, which are cut where they are full and joined where they are nearly empty. */
export interface LocationTree {
  find(page: number): LocationNode;
  /** The nodes that cover a range, or the first of them. */
  nodes(first: number, end: number, most?: number): LocationNode[];
  /** Puts a piece over a range. Returns whether a node that had more pieces is nearly empty now. */
  replace(first: number, end: number, location: number): boolean;
  /** Joins nodes of a range with their neighbors where both are small. */
  tidy(first: number, end: number): void;
  /** True only if all pages of the range are at `location`, as far as nodes in memory show. */
  isAll(first: number, end: number, location: number): boolean;
  /** Runs that cover the range, ascending. */
  runs(first: number, end: number): LocationRun[];
  readonly count: number;
}

export interface LocationTreeOptions {
  /** A multiple of `length`. */
  readonly pages: number;
  /** The length of a body in words. */
  readonly length: number;
  /** Called with each replaced piece. */
  readonly lost: (first: number, count: number, location: number) => void;
  /** Called with each node that changed, and each that was removed. */
  readonly changed: (node: LocationNode) => void;
  readonly mayJoin: (node: LocationNode, next: LocationNode) => boolean;
}

export function locationTree(options: LocationTreeOptions): LocationTree {
  const { pages, length, lost, mayJoin, changed } = options;
  const list = nodeList(emptyNode(0, pages));

  function cutAt(node: LocationNode, at: number): void {
    const second = cut(node, at, length);
    list.add(second);
    changed(node);
    changed(second);
  }
  /**
   * Makes room in the node of `page`, which is full or spans too much for a body; it may be a smaller node
   * afterwards.
   */
  function makeRoom(node: LocationNode, page: number): void {
    const span = node.end - node.start;
    if (span > SPAN_MAX) {
      const begin = Math.floor(page / SPAN_MAX) * SPAN_MAX;
      cutAt(node, begin > node.start ? begin : begin + SPAN_MAX);
    } else if (span === length) {
      becomeDense(node);
      changed(node);
    } else cutAt(node, middle(node));
  }
  /** Joins the node of `page` with its neighbors; returns the node that then holds the page. */
  function tidyAt(page: number): LocationNode {
    const node = list.find(page);
    const before = node.start > 0 ? list.find(node.start - 1) : node;
    const joined = before !== node && joinTo(before, node) ? before : node;
    if (joined.end < pages) joinTo(joined, list.find(joined.end));
    return joined;
  }
  function joinTo(node: LocationNode, next: LocationNode): boolean {
    if (!mayJoin(node, next) || !join(node, next, length)) return false;
    list.remove(next);
    changed(node);
    changed(next);
    return true;
  }

  return {
    ...looks(list),
    replace(first, end, location) {
      let isSmall = false;
      for (let page = first; page < end; ) {
        const node = list.find(page);
        const before = node.pieces === 0 ? length : node.pieces;
        const to = Math.min(end, node.end);
        const at = advance(location, page - first);
        if (!put(node, { first: page, end: to, location: at, length, lost })) {
          makeRoom(node, page);
          continue;
        }
        changed(node);
        isSmall ||= node.pieces > 0 && node.pieces < before && node.pieces <= length / 8;
        page = to;
      }
      return isSmall;
    },
    tidy(first, end) {
      for (let page = first; page < end; ) page = tidyAt(page).end;
    },
    get count() {
      return list.count;
    },
  };
}

/** The methods that change nothing. */
function looks(list: NodeList): Pick<LocationTree, 'find' | 'nodes' | 'isAll' | 'runs'> {
  return {
    find: list.find,
    nodes(first, end, most = Infinity) {
      const found: LocationNode[] = [];
      for (let page = first; page < end && found.length < most; page = found.at(-1)!.end) {
        found.push(list.find(page));
      }
      return found;
    },
    isAll(first, end, location) {
      let others = 0;
      const look = (_first: number, count: number, at: number) => {
        if (at !== location) others += count;
      };
      for (let page = first; page < end; ) {
        const node = list.find(page);
        if (!isInMemory(node)) return false;
        const to = Math.min(end, node.end);
        visit(node, page, to, look);
        if (others > 0) return false;
        page = to;
      }
      return true;
    },
    runs(first, end) {
      const found: LocationRun[] = [];
      let last = { first, count: 0, location: ABSENT };
      const add = (at: number, count: number, location: number) => {
        if (last.count > 0 && continues(last.location, last.count, location)) {
          last.count += count;
          return;
        }
        last = { first: at, count, location };
        found.push(last);
      };
      for (let page = first; page < end; ) {
        const node = list.find(page);
        const to = Math.min(end, node.end);
        visit(node, page, to, add);
        page = to;
      }
      return found;
    },
  };
}
