import { assert } from '../../../lib/assert.ts';
import type { LocationNode } from './location-nodes.ts';

/** Nodes per bucket; a full bucket is cut in two. */
const BUCKET_NODES = 512;

/** Nodes in the order of the disk, without gaps: a change moves at most one bucket, and the list of buckets. */
export interface NodeList {
  readonly count: number;
  find(page: number): LocationNode;
  /** Adds a node that was cut off another. */
  add(node: LocationNode): void;
  /** Removes a node that was merged into another. */
  remove(node: LocationNode): void;
}

interface Bucket {
  readonly starts: number[];
  readonly nodes: LocationNode[];
}

export function nodeList(only: LocationNode): NodeList {
  const begins = [only.start];
  const buckets: Bucket[] = [{ starts: [only.start], nodes: [only] }];
  let count = 1;

  return {
    get count() {
      return count;
    },
    find(page) {
      const { starts, nodes } = buckets[lastUpTo(begins, page)]!;
      return nodes[lastUpTo(starts, page)]!;
    },
    add(node) {
      const at = lastUpTo(begins, node.start);
      const { starts, nodes } = buckets[at]!;
      const place = lastUpTo(starts, node.start) + 1;
      starts.splice(place, 0, node.start);
      nodes.splice(place, 0, node);
      count++;
      if (nodes.length <= BUCKET_NODES) return;
      const half = BUCKET_NODES / 2;
      buckets.splice(at + 1, 0, { starts: starts.splice(half), nodes: nodes.splice(half) });
      begins.splice(at + 1, 0, buckets[at + 1]!.starts[0]!);
    },
    remove(node) {
      const at = lastUpTo(begins, node.start);
      const { starts, nodes } = buckets[at]!;
      const place = lastUpTo(starts, node.start);
      assert(nodes[place] === node && node.start > 0, 'a removed node was in the list');
      starts.splice(place, 1);
      nodes.splice(place, 1);
      count--;
      if (nodes.length > 0) {
        begins[at] = starts[0]!;
        return;
      }
      buckets.splice(at, 1);
      begins.splice(at, 1);
    },
  };
}

/** Index of the last number that is not greater than `limit`; the first never is. */
function lastUpTo(ascending: readonly number[], limit: number): number {
  let low = 0;
  let high = ascending.length;
  while (high - low > 1) {
    const half = (low + high) >>> 1;
    if (ascending[half]! <= limit) low = half;
    else high = half;
  }
  return low;
}
