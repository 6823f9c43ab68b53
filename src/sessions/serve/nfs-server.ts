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
import { type NfsDoor, nfsDoors } from './nfs-listeners.ts';
import { identityOf } from './nfs-identity.ts';
import { pointShelves } from './point-exports.ts';
import { readJournal } from '../state/session-files.ts';

/**
 * The NFS server of this process, shared by all its sessions: each is a directory with rules of its own, wherever
 * a client comes in. It listens while a session wants it to, or where systemd does so for it.
 */
export interface NfsServer extends AsyncDisposable {
  /** Where systemd listens: what names no ports is found there. */
  readonly inherited: NfsPorts | undefined;
  /**
   * Listens where systemd does, and answers nobody until `answer`: for a client there is no difference between a
   * session that is about to be resumed and one that is lost.
   */
  hold(sockets: NfsSockets | undefined): Promise<void>;
  answer(): void;
  /** Answers what is under way, and nothing more: clients go on with the next process. */
  leave(): Promise<void>;
  /** A session that may be resumed: who asks for it meanwhile waits. */
  expect(session: SessionRecord): void;
  /** Makes a session's tree, which is lent, visible. Disposed, it is expected. */
  show(session: SessionRecord, access: NfsAccess, tree: WritableFileTree): Export;
  /** The set's recovery points in `/holdfast/points/SET`. */
  showPoints(set: OpenSet, access: NfsAccess): Promise<AsyncDisposable>;
  /** Listens at the session's place for as long as somebody wants it. Rejects BUSY, DENIED. */
  enter(place: NfsPlace): Promise<NfsDoor>;
}

/** `reader` is for recovery points; `writes` for what clients write, until it is written. */
export async function openNfsServer(
  store: Store,
  {
    reader,
    writes,
  }: { readonly reader: () => Promise<BorrowedReader>; readonly writes: MemoryBudget },
): Promise<NfsServer> {
  await using stack = new AsyncDisposableStack();
  const target = stack.use(await openNfsTarget({ ...store, writes }));
  const doors = nfsDoors(target);
  const shelves = pointShelves(store, target, reader);
  let inherited: NfsPorts | undefined;

  function optionsOf(session: SessionRecord, access: NfsAccess): NfsExportOptions {
    const { id, created } = session;
    let looking = false;
    /** It may have been kept or discarded since, by whatever process. */
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
      if (sockets) inherited = await doors.adopt(sockets);
    },
    answer: target.answer,
    leave: target.leave,
    expect(session) {
      if (session.nfs) target.expect(session.id, optionsOf(session, accessOf(session.nfs)));
    },
    show: (session, access, tree) => target.export(session.id, tree, optionsOf(session, access)),
    showPoints: (set, access) => shelves.show(set, access),
    enter: (place) => doors.enter(place),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Throws INVALID for networks that are none. */
export function accessOf({ allow, readOnly, squash, privilegedPorts }: NfsPlace): NfsAccess {
  return { allow: parseNetworks(allow), readOnly, squash, privilegedPorts };
}
