import type { MemoryBudget } from '../../lib/memory-budget.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { Random } from '../../sys/base/random.ts';
import { inUri } from '../../sys/net/networks.ts';
import { reachableAt } from '../../sys/net/this-host.ts';
import { type SocketOwners, socketOwners } from '../../sys/net/socket-owner.ts';
import type { FileTree } from '../../vfs/file-tree.ts';
import { arrivals } from '../connection/arrivals.ts';
import { acceptQueue } from '../connection/accept-queue.ts';
import type { Export } from '../connection/export.ts';
import type { NfsAccess } from './exports/access.ts';
import { anyPort, nfsClients } from './clients.ts';
import { dispatcher } from './dispatch.ts';
import { EXPORT_PATH } from './exports/export-path.ts';
import { nfsExports } from './exports/exports.ts';
import { listenForNfs, type NfsListening, type NfsPlace } from './listening.ts';
import { lockProgram } from './locks/lock-program.ts';
import { mountProgram } from './procedures/mount-program.ts';
import { nfsProgram } from './procedures/nfs-program.ts';
import { rangeLocks } from './locks/range-locks.ts';
import { removableTree } from './exports/detachable-tree.ts';
import { replayCache } from './rpc/replay-cache.ts';
import type { Away, Served } from './exports/export-entry.ts';

/**
 * An NFS version 3 server (RFC 1813) with all other programs that its clients need: MOUNT, the port mapper, locks.
 * Data from a peer can end at most the peer's own connection.
 */
export interface NfsTarget extends AsyncDisposable {
  /**
   * Listens at a further place. A client finds everything that it may see, whichever place it uses. Rejects BUSY,
   * DENIED.
   */
  listen(place: NfsPlace): Promise<NfsListening>;
  /**
   * Makes a tree visible as `/holdfast/NAME`. The tree is lent. Once the export is disposed, calls for it stay
   * unanswered until it is there again, or is forgotten. TreeError EXISTS: a name or tag is taken.
   */
  export(name: string, tree: FileTree, options: NfsExportOptions): Export;
  /** Leaves calls for an export unanswered, as after it was disposed: it is about to appear. */
  expect(name: string, options: NfsExportOptions): void;
  /** Calls for this export are answered STALE from now on: it will not be there again. */
  forget(name: string): void;
  /** New clients wait until `answer` is called. */
  hold(): void;
  answer(): void;
  /** Like `hold`; also answers the calls under way, and ends the connections. */
  leave(): Promise<void>;
}

export interface NfsExportOptions {
  /** Applied at each call: the owner may change the list. */
  readonly access: readonly NfsAccess[];
  /** 32 bits each, not zero; the same after a restart: file IDs and handles are made of the two. */
  readonly tag: number;
  readonly generation: number;
  /** Called when a client asks for the tree while it is away. */
  readonly onAsked?: () => void;
}

export interface NfsTargetOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Memory for data that clients write, until it is written. */
  readonly writes: MemoryBudget;
  /** Says which users own connections from this machine. */
  readonly owners?: SocketOwners;
}

const VERIFIER_LENGTH = 8;
/** When a tree is taken away, its calls under way may take this long. */
const FINISH_MS = 5000;

export async function openNfsTarget({
  clock,
  random,
  writes,
  owners = socketOwners(),
}: NfsTargetOptions): Promise<NfsTarget> {
  const exports = nfsExports(() => clock.now().getTime());
  const { admits } = exports;
  const clients = nfsClients({ clock, writes, admits });
  const locks = rangeLocks();
  const programs = [nfsProgram({ exports }), mountProgram(exports), lockProgram(exports, locks)];
  const replays = replayCache();
  const accepting = acceptQueue();
  const places = new Set<NfsListening>();

  function awayAs(name: string, { access, tag, generation, onAsked }: NfsExportOptions): Away {
    return { name, access, tag, generation, onAsked: () => onAsked?.() };
  }
  async function takeAway(served: Served, away: Away, over: Promise<void>): Promise<void> {
    exports.remove(served, away);
    const late = new AbortController();
    await Promise.race([over, clock.sleep(FINISH_MS, late.signal).catch(() => {})]);
    late.abort();
  }
  return {
    async listen(place) {
      const listening = await listenForNfs(place, {
        admits: (peer) => admits(anyPort(peer)),
        welcome(portmap) {
          const dispatch = dispatcher([...programs, portmap], replays);
          return arrivals(owners, {
            knows: clients.knows,
            welcome: (stream, peer) =>
              accepting.pass(stream, () => clients.accept(stream, peer, dispatch)),
          });
        },
      });
      const it: NfsListening = {
        ports: listening.ports,
        async [Symbol.asyncDispose]() {
          places.delete(it);
          await listening[Symbol.asyncDispose]();
        },
      };
      places.add(it);
      return it;
    },
    export(name, tree, options) {
      const { access, tag, generation } = options;
      const there = removableTree(tree);
      const verifier = random.bytes(VERIFIER_LENGTH);
      const served: Served = { name, access, tag, generation, verifier, tree: there.tree };
      exports.add(served);
      // Clients that asked for this tree in vain.
      clients.askAgain();
      let gone: Promise<void> | undefined;
      return {
        name,
        uri: `nfs://${inUri(reachableAt(access.flatMap(({ allow }) => allow.names)))}${EXPORT_PATH}/${name}`,
        get clients() {
          return clients.of(served);
        },
        get traffic() {
          return clients.trafficOf(served);
        },
        [Symbol.asyncDispose]: () =>
          (gone ??= takeAway(served, awayAs(name, options), there.remove())),
      };
    },
    expect: (name, options) => exports.expect(awayAs(name, options)),
    forget(name) {
      const known = exports.forget(name);
      if (!known) return;
      locks.releaseFiles(`${known.tag} `);
      clients.askAgain();
    },
    hold: accepting.hold,
    answer: accepting.open,
    async leave() {
      accepting.hold();
      await clients[Symbol.asyncDispose]();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...places].map((it) => it[Symbol.asyncDispose]()));
      accepting.close();
      await clients[Symbol.asyncDispose]();
    },
  };
}
