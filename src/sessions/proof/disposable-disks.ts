import {
  openSealedOverlay,
  prepareSealedOverlay,
  type SealedOverlay,
} from '../../block/sealed/sealed-overlay.ts';
import { spaceGuard } from '../../block/space-guard.ts';
import { holdPoint } from '../../catalog/point-lease.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import { type NbdMemory, openNbdTarget } from '../../servers/nbd/server.ts';
import { backupReserve } from '../../store/directory/space-reserve.ts';
import type { Store } from '../../store/directory/store.ts';
import type { BlockReader } from '../../store/read/block-reader.ts';
import { manifestDisk } from '../../store/read/manifest-disk.ts';
import { sumOfTraffic } from '../../servers/connection/traffic.ts';
import { timedReads, toldReads } from '../serve/told-reads.ts';
import { placesFor } from '../state/session-overlays.ts';

/*
 * The disks of a recovery point for one boot: what the guest writes is sealed with a key that only this process has,
 * so that no person can read it afterwards, not even with the key of the set.
 */

export interface DisposableDisks extends AsyncDisposable {
  readonly traffic: { readonly readBytes: number; readonly writtenBytes: number };
}

export interface DisposableOptions {
  readonly set: OpenSet;
  readonly point: PointRecord;
  /** Lent. */
  readonly reader: BlockReader;
  readonly memory: NbdMemory;
  /** For the overlays; the caller removes it. */
  readonly directory: string;
  readonly socket: string;
  /** The user who may connect, besides this one. */
  readonly user: number | undefined;
  /** A read failed, since the store has lost that part. */
  readonly onLost: (what: string) => void;
  /** Called after each read of the guest, with its duration in milliseconds. */
  readonly onRead?: ((ms: number) => void) | undefined;
}

const KEY_LENGTH = 32;
/** Encrypted, whether the set is or not. */
const SUITE = 2;

/** Rejects NOT_FOUND if the recovery point has been forgotten. */
export async function serveDisposable(
  store: Store,
  { set, point, reader, memory, directory, socket, user, onLost, onRead }: DisposableOptions,
): Promise<DisposableDisks> {
  const { files, clock, random, space } = store;
  await using stack = new AsyncDisposableStack();
  stack.use(await holdPoint(store, set, point, `verify ${point.id}`));
  const ending = new AbortController();
  // Machines in need come first: this guest gets an error before those of sessions have to wait.
  const guard = spaceGuard({
    ...{ space, clock, whenFull: 'refuse', signal: ending.signal },
    reserve: (found) => backupReserve(found, true),
  });
  const key = { suite: SUITE, overlayKey: Uint8Array.from(random.bytes(KEY_LENGTH)) } as const;
  const overlays: SealedOverlay[] = [];
  for (const root of point.disks) {
    const { name: disk } = root;
    const name = `${point.id}/${disk}`;
    const hurt = { set: set.name, point: point.id, disk };
    const base = stack.use(manifestDisk(reader, { name, root, keys: set.keys, hurt }));
    const places = placesFor(root.size);
    const of = { files, random, directory, disk };
    await prepareSealedOverlay({ ...of, size: root.size, suite: SUITE, places });
    const options = { ...of, clock, space: guard, session: point.id, key, begun: false };
    overlays.push(stack.use(await openSealedOverlay(options, toldReads(base, onLost))));
  }
  stack.defer(() => ending.abort());
  const target = stack.use(
    await openNbdTarget({
      ...{ clock, memory, tls: undefined, listen: { kind: 'unix', path: socket } },
      ...(user !== undefined && { admitsProcess: ({ uid }) => uid === user || uid === 0 }),
    }),
  );
  const exports = point.disks.map(({ name, sectorSize }, at) =>
    stack.use(
      target.export(name, onRead ? timedReads(overlays[at]!, clock, onRead) : overlays[at]!, {
        ...{ description: `${point.machine} ${name}`, readOnly: false },
        ...(sectorSize && { sectorSize }),
      }),
    ),
  );
  const owned = stack.move();
  return {
    get traffic() {
      const { readBytes, writtenBytes } = sumOfTraffic(exports.map((it) => it.traffic));
      return { readBytes, writtenBytes };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
