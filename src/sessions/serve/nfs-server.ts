import type { OpenSet } from '../../catalog/sets.ts';
import type { NfsPlace, SessionRecord } from '../../formats/store/sessions/session.ts';
import type { MemoryBudget } from '../../lib/memory-budget.ts';
import { parseNetworks } from '../../sys/net/networks.ts';
import type { Export } from '../../servers/connection/export.ts';
import type { NfsAccess } from '../../servers/nfs/exports/access.ts';
import type { NfsPorts, NfsSockets } from '../../servers/nfs/listening.ts';
import { type NfsExportOptions, openNfsTarget } from '../../servers/nfs/server.ts';
import type { Store } from '../../store/directory/store.ts';
import type { BorrowedReader } from '../../store/read/shared-reader.ts';
import type { WritableFileTree } from '../../vfs/file-tree.ts';
import { type NfsListener, nfsListeners } from './nfs-listeners.ts';
import { identityOf } from './nfs-identity.ts';
import { pointExports } from './point-exports.ts';
import { readJournal } from '../state/session-files.ts';

/**
 * The NFS server of this process, shared by all its sessions: each is a directory with its own rules, regardless of
 * the address that a client uses. It listens while a session needs it, or where systemd does so for it.
 */
export interface NfsServer extends AsyncDisposable {
  /** The ports where systemd listens: the default for sessions without ports of their own. */
  readonly inherited: NfsPorts | undefined;
  /**
   * Listens where systemd does, and answers no client until `answer`: a client cannot distinguish a session that is
   * about to be resumed from one that is lost.
   */
  hold(sockets: NfsSockets | undefined): Promise<void>;
  answer(): void;
  /** Finishes calls under way and accepts no others: clients continue with the next process. */
  leave(): Promise<void>;
  /** Announces a session that may be resumed: clients that ask for it in the meantime wait. */
  expect(session: SessionRecord): void;
  /** Makes a session's tree (lent) visible. Disposing sets it back to expected. */
  show(session: SessionRecord, access: NfsAccess, tree: WritableFileTree): Export;
  /** Shows the set's recovery points in `/holdfast/points/SET`. */
  showPoints(set: OpenSet, access: NfsAccess): Promise<AsyncDisposable>;
  /** Listens at the session's address for as long as a session needs it. Rejects BUSY, DENIED. */
  enter(place: NfsPlace): Promise<NfsListener>;
}

/** `reader` is for recovery points; `writes` holds clients' writes until they are written. */
export async function openNfsServer(
  store: Store,
  {
    reader,
    writes,
  }: { readonly reader: () => Promise<BorrowedReader>; readonly writes: MemoryBudget },
): Promise<NfsServer> {
  await using stack = new AsyncDisposableStack();
  const target = stack.use(await openNfsTarget({ ...store, writes }));
  const listeners = nfsListeners(target);
  const points = pointExports(store, target, reader);
  let inherited: NfsPorts | undefined;

  function optionsOf(session: SessionRecord, access: NfsAccess): NfsExportOptions {
    const { id, created } = session;
    let looking = false;
    /** Another process may have kept or discarded it since then. */
    async function look(): Promise<void> {
      if (looking) return;
      looking = true;
      const found = await readJournal(store, id).catch(() => session);
      looking = false;
      if (found?.created !== created) target.forget(id);
    }
    return { access: [access], ...identityOf(`${id} ${created}`), onAsked: () => void look() };
  }
  const owned = stack.move();
  return {
    get inherited() {
      return inherited;
    },
    async hold(sockets) {
      target.hold();
      if (sockets) inherited = await listeners.adopt(sockets);
    },
    answer: target.answer,
    leave: target.leave,
    expect(session) {
      if (session.nfs) target.expect(session.id, optionsOf(session, accessOf(session.nfs)));
    },
    show: (session, access, tree) => target.export(session.id, tree, optionsOf(session, access)),
    showPoints: (set, access) => points.show(set, access),
    enter: (place) => listeners.enter(place),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Throws INVALID for invalid networks. */
export function accessOf({ allow, readOnly, squash, privilegedPorts }: NfsPlace): NfsAccess {
  return { allow: parseNetworks(allow), readOnly, squash, privilegedPorts };
}
