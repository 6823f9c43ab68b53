import type { OpenSet } from '../../catalog/sets.ts';
import { turns } from '../../lib/mutex.ts';
import type { BorrowedReader } from '../../store/read/shared-reader.ts';
import type { NfsAccess } from '../../servers/nfs/exports/access.ts';
import type { NfsTarget } from '../../servers/nfs/server.ts';
import type { Store } from '../../store/directory/store.ts';
import { identityOf } from './nfs-identity.ts';
import { storeListing } from '../views/store-listing.ts';
import { storeTree } from '../views/store-tree.ts';

/** The recovery points of sets over NFS: a set is shown once, to all clients that may see it through any session. */
export interface PointShelves {
  show(set: OpenSet, access: NfsAccess): Promise<AsyncDisposable>;
}

interface ShownSet extends AsyncDisposable {
  readonly access: NfsAccess[];
}

export function pointExports(
  store: Store,
  target: NfsTarget,
  borrow: () => Promise<BorrowedReader>,
): PointShelves {
  const inTurn = turns();
  const shown = new Map<string, ShownSet>();

  async function open(set: OpenSet): Promise<ShownSet> {
    await using stack = new AsyncDisposableStack();
    const { reader } = stack.use(await borrow());
    const places = { setsPath: '', sessionsPath: undefined, partsOf: undefined };
    const listing = storeListing(store, { sets: [set], reader, ...places });
    const all = stack.use(await storeTree(store, store.directory, listing));
    const tree = { ...all, root: all.lookup(all.root, set.name)! };
    const name = `points/${set.name}`;
    const access: NfsAccess[] = [];
    // It exists only for sessions: without one it is removed, not just away.
    stack.defer(() => target.forget(name));
    stack.use(target.export(name, tree, { access, ...identityOf(name) }));
    const owned = stack.move();
    return { access, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }
  async function hide(name: string, it: ShownSet, rule: NfsAccess): Promise<void> {
    if (it.access.length === 1) {
      shown.delete(name);
      await it[Symbol.asyncDispose]();
    }
    it.access.splice(it.access.indexOf(rule), 1);
  }
  return {
    show: (set, access) =>
      inTurn(async () => {
        const it = shown.get(set.name) ?? (await open(set));
        shown.set(set.name, it);
        const rule = { ...access, readOnly: true };
        it.access.push(rule);
        let hidden: Promise<void> | undefined;
        return {
          [Symbol.asyncDispose]: () => (hidden ??= inTurn(() => hide(set.name, it, rule))),
        };
      }),
  };
}
