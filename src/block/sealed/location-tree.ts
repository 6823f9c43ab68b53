import {
  ABSENT,
  advance,
  becomeDense,
  continues,
  cut,
  emptyNode,
  join,
  middle,
  put,
  SPAN_MAX,
  visit,
  type LocationNode,
  type LocationRun,
} from './location-nodes.ts';
import { nodeList } from './node-list.ts';

/** The pages of a disk in nodes, which are cut where they are full and joined where they are nearly empty. */
export interface LocationTree {
  find(page: number): LocationNode;
  /** Puts a piece over a range. */
  replace(first: number, end: number, location: number): void;
  /** Joins the nodes of a range with their neighbors where both are small. */
  tidy(first: number, end: number): void;
  /** Ascending; covers the range. */
  runs(first: number, end: number): LocationRun[];
  readonly nodes: number;
  readonly bodies: number;
}

export interface LocationTreeOptions {
  /** A multiple of `length`. */
  readonly pages: number;
  /** Words of a body. */
  readonly length: number;
  /** Gets each piece that something is put over. */
  readonly lost: (first: number, count: number, location: number) => void;
  readonly mayJoin: (node: LocationNode, next: LocationNode) => boolean;
}

export function locationTree(options: LocationTreeOptions): LocationTree {
  const { pages, length, lost, mayJoin } = options;
  const list = nodeList(emptyNode(0, pages));
  let bodies = 0;

  /** Whatever may give a node a body or take it away. */
  function change<T>(node: LocationNode, work: () => T): T {
    bodies -= bodyCount(node);
    const result = work();
    bodies += bodyCount(node);
    return result;
  }
  function cutAt(node: LocationNode, at: number): void {
    const second = change(node, () => cut(node, at, length));
    bodies += bodyCount(second);
    list.add(second);
  }
  /** The node of `page` is full, or spans too much for a body: afterwards it has room, or is a smaller one. */
  function makeRoom(node: LocationNode, page: number): void {
    const span = node.end - node.start;
    if (span > SPAN_MAX) {
      const begin = Math.floor(page / SPAN_MAX) * SPAN_MAX;
      cutAt(node, begin > node.start ? begin : begin + SPAN_MAX);
    } else if (span === length) change(node, () => becomeDense(node));
    else cutAt(node, middle(node));
  }
  /** Joins the node of `page` with those beside it; the node that the page is in then. */
  function tidyAt(page: number): LocationNode {
    const node = list.find(page);
    const before = node.start > 0 ? list.find(node.start - 1) : node;
    const joined = before !== node && joinTo(before, node) ? before : node;
    if (joined.end < pages) joinTo(joined, list.find(joined.end));
    return joined;
  }
  function joinTo(node: LocationNode, next: LocationNode): boolean {
    if (!mayJoin(node, next)) return false;
    const gone = bodyCount(next);
    if (!change(node, () => join(node, next, length))) return false;
    bodies -= gone;
    list.remove(next);
    return true;
  }

  return {
    find: list.find,
    replace(first, end, location) {
      for (let page = first; page < end; ) {
        const node = list.find(page);
        const to = Math.min(end, node.end);
        const at = advance(location, page - first);
        const what = { first: page, end: to, location: at, length, lost };
        if (change(node, () => put(node, what))) page = to;
        else makeRoom(node, page);
      }
    },
    tidy(first, end) {
      for (let page = first; page < end; ) page = tidyAt(page).end;
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
    get nodes() {
      return list.count;
    },
    get bodies() {
      return bodies;
    },
  };
}

function bodyCount({ body }: LocationNode): number {
  return body ? 1 : 0;
}
