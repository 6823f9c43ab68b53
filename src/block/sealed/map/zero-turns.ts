import { turnOfLoop } from '../../../lib/turn-of-loop.ts';
import { ZERO, type LocationNode } from './location-nodes.ts';
import type { LocationTree } from './location-tree.ts';
import type { NodeBodies } from './node-bodies.ts';

/**
 * Zeros ranges in turns of the loop, as if it were done at once: before other code reads or sets a node, all pending
 * zeros are applied to the whole node. Each node remembers the last one that was applied to it.
 */
export interface ZeroTurns {
  zero(first: number, end: number): Promise<void>;
  /** Call it before a range, whose nodes are in memory, is read or set. */
  settle(first: number, end: number): void;
  /** Whether two nodes may be joined: a joined node can remember only one number. */
  areEven(node: LocationNode, next: LocationNode): boolean;
}

interface Zeroing {
  readonly number: number;
  /** Pages before this one are done. */
  at: number;
  readonly end: number;
}

export interface ZeroTurnsOptions {
  readonly tree: () => LocationTree;
  /** Nodes per turn. */
  readonly turnNodes: number;
  readonly bodies: Pick<NodeBodies, 'ready' | 'load'>;
}

export function zeroTurns({ tree, turnNodes, bodies }: ZeroTurnsOptions): ZeroTurns {
  const underWay = new Set<Zeroing>();
  let begun = 0;

  function settleNode(node: LocationNode): void {
    const { start, end, settled } = node;
    node.settled = begun;
    for (const zeroing of underWay) {
      const from = Math.max(start, zeroing.at);
      const to = Math.min(end, zeroing.end);
      if (zeroing.number > settled && from < to) tree().replace(from, to, ZERO);
    }
  }
  /** Works up to a node that is not in memory. */
  function someOf(zeroing: Zeroing): void {
    for (let left = turnNodes; left > 0 && zeroing.at < zeroing.end; left--) {
      const { at } = zeroing;
      const node = tree().find(at);
      if (!bodies.ready([node])) return;
      settleNode(node);
      const end = Math.min(tree().find(at).end, zeroing.end);
      tree().tidy(at, end);
      zeroing.at = end;
    }
  }

  return {
    async zero(first, end) {
      const zeroing = { number: ++begun, at: first, end };
      underWay.add(zeroing);
      try {
        while (true) {
          someOf(zeroing);
          if (zeroing.at === end) break;
          await turnOfLoop();
          const next = tree().nodes(zeroing.at, end, turnNodes);
          if (!bodies.ready(next)) await bodies.load(next);
        }
      } finally {
        underWay.delete(zeroing);
      }
      tree().tidy(first, first + 1);
      tree().tidy(end - 1, end);
    },
    settle(first, end) {
      if (underWay.size === 0) return;
      for (let page = first; page < end; page = tree().find(page).end) {
        settleNode(tree().find(page));
      }
    },
    areEven: (node, next) => underWay.size === 0 || node.settled === next.settled,
  };
}
