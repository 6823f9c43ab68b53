import type { Peer } from '../../../sys/net/network.ts';
import type { TreeNode } from '../../../vfs/file-tree.ts';
import { isAllowed, type NfsAccess } from './access.ts';
import { Unanswered } from '../rpc/failure.ts';
import type { KnownTrees } from './export-table.ts';
import type { Away, Entry, Found, Known, Served } from './export-entry.ts';

/** The directories of the export itself, which contain the trees. A host finds the trees that it may see. */
export interface OwnDirectories {
  readonly root: Found;
  byId(id: number): Found | undefined;
  /** The directory that contains a tree; undefined: the parent of the root, which is the root. */
  above(served: Served | undefined): Found;
  node(id: number): TreeNode;
  /** Call it when trees were added or removed. */
  changed(): void;
  /** Throws Unanswered. */
  lookup(directory: Found, name: string, peer: Peer): Found | undefined;
  list(directory: Found, after: number, peer: Peer): Iterable<Entry>;
}

export interface OwnDirectoriesOptions {
  readonly served: KnownTrees<Served>;
  readonly away: KnownTrees<Away>;
  readonly nowMs: () => number;
}

const ROOT: Found = { served: undefined, id: 1, rule: undefined };
const POINTS: Found = { served: undefined, id: 2, rule: undefined };
const POINTS_NAME = 'points';
const POINTS_COOKIE = 3;
/** Follows ".", ".." and `points`. With its tag added it is a tree's cookie, which a restart does not change. */
const FIRST_COOKIE = 4;

export function ownDirectories({ served, away, nowMs }: OwnDirectoriesOptions): OwnDirectories {
  let changedMs = nowMs();

  function* list(directory: Found, after: number, peer: Peer): Generator<Entry> {
    const prefix = prefixOf(directory);
    if (prefix === '' && after < POINTS_COOKIE && hasPoints(peer)) {
      yield { name: POINTS_NAME, cookie: POINTS_COOKIE, found: POINTS };
    }
    for (const it of served.byTag()) {
      const cookie = FIRST_COOKIE + it.tag;
      const name = nameIn(prefix, it);
      const rule = name !== undefined && cookie > after && ruleFor(it, peer);
      if (rule) yield { name, cookie, found: { served: it, id: it.tree.root, rule } };
    }
  }
  function hasPoints(peer: Peer): boolean {
    const isOne = (it: Known): boolean =>
      nameIn(`${POINTS_NAME}/`, it) !== undefined && ruleFor(it, peer) !== undefined;
    return served.byTag().some(isOne) || away.byTag().some(isOne);
  }
  function lookup(directory: Found, name: string, peer: Peer): Found | undefined {
    const prefix = prefixOf(directory);
    if (prefix === '' && name === POINTS_NAME) return hasPoints(peer) ? POINTS : undefined;
    const it = name.includes('/') ? undefined : served.named(prefix + name);
    const rule = it && ruleFor(it, peer);
    if (it && rule) return { served: it, id: it.tree.root, rule };
    const expected = name.includes('/') ? undefined : away.named(prefix + name);
    if (expected && ruleFor(expected, peer)) unanswered(expected);
    return undefined;
  }
  return {
    root: ROOT,
    byId: (id) => [ROOT, POINTS].find((it) => it.id === id),
    above: (it) => (it && nameIn('', it) === undefined ? POINTS : ROOT),
    node: (id) => ({
      // One link: a host may not learn the number of directories, some of which it may not see (Btrfs says 1, too).
      ...{ id, kind: 'directory', mode: 0o555, uid: 0, gid: 0, size: 4096, links: 1 },
      ...{ accessedMs: changedMs, modifiedMs: changedMs, changedMs },
    }),
    changed: () => void (changedMs = nowMs()),
    lookup,
    list,
  };
}

function prefixOf({ id }: Found): string {
  return id === POINTS.id ? `${POINTS_NAME}/` : '';
}

/** The name of a tree in the directory with this prefix; undefined: the tree is in the other directory. */
function nameIn(prefix: string, { name }: Known): string | undefined {
  const rest = name.startsWith(prefix) ? name.slice(prefix.length) : undefined;
  return rest?.includes('/') ? undefined : rest;
}

export function ruleFor({ access }: Known, peer: Peer): NfsAccess | undefined {
  return access.find((rule) => isAllowed(rule, peer));
}

export function unanswered({ name, onAsked }: Away): never {
  onAsked();
  throw new Unanswered(`${name} is away`);
}
