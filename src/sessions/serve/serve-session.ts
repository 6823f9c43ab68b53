import { type WriteFence, writeFence } from '../../block/write-fence.ts';
import type { BlockDevice, WritableBlockDevice } from '../../block/block-device.ts';
import type { SessionOverlay } from '../state/session-overlays.ts';
import type { SealedOverlayStats } from '../../block/sealed/sealed-overlay.ts';
import { loadProfile } from '../../catalog/profiles.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { NfsPlace, SessionRecord } from '../../formats/store/sessions/session.ts';
import type { BlockReader } from '../../store/read/block-reader.ts';
import { type ManifestDisk, manifestDisk } from '../../store/read/manifest-disk.ts';
import type { Address, TlsCredentials } from '../../sys/net/network.ts';
import type { UnixPeer } from '../../sys/net/unix-peer.ts';
import { type NbdMemory, type NbdTarget, openNbdTarget } from '../../servers/nbd/server.ts';
import type { Export } from '../../servers/connection/export.ts';
import type { Store } from '../../store/directory/store.ts';
import type { SessionMachine } from '../guest/session-machine.ts';
import { keepProfile, prefetchBoot, RECORD_MS, recordBoot } from './boot-profile.ts';
import { type DiskServer, knowsClients } from './disk-server.ts';
import type { NfsServer } from './nfs-server.ts';
import type { ServedFiles } from './serve-nfs.ts';
import { innerSocket } from '../state/session-sockets.ts';
import { sessionSpace } from '../state/session-space.ts';
import { toldReads } from './told-reads.ts';
import { overlayOf } from '../state/session-overlays.ts';

/** A session whose disks are exported. Disposing flushes them; the session can be resumed. */
export interface ServedSession extends AsyncDisposable {
  readonly exports: readonly ServedDisk[];
  readonly address: Address;
  /** For other processes of this machine, without TLS. */
  readonly here: Address;
  readonly files: ServedFiles | undefined;
  /** All its exports, over any protocol. */
  readonly shown: readonly Export[];
  /** A disk as guests see it: lent. */
  disk(name: string): BlockDevice;
  /** From then on nothing is written to the disks, over any protocol; resolves once writes under way have ended. */
  setFence(isUp: boolean): Promise<void>;
  /** Statistics of the sealed overlay of each disk. */
  overlays(): readonly SealedOverlayStats[];
}

export interface ServedDisk {
  readonly disk: string;
  readonly size: number;
  readonly uri: string;
  readonly sectorSize?: number;
}

export interface ServeOptions {
  readonly set: OpenSet;
  readonly point: PointRecord;
  /** Undefined: nothing is known of it. */
  readonly machine?: SessionMachine | undefined;
  readonly listen: Address;
  /** Whether a process of this machine may open the disks over a unix socket. */
  readonly admits: (peer: UnixPeer) => boolean;
  /** Whether a user of this machine may open them over TCP, where clients are not authenticated. */
  readonly admitsUser: (uid: number) => boolean;
  readonly tls: TlsCredentials | undefined;
  readonly nfs: { readonly place: NfsPlace; readonly server: NfsServer } | undefined;
  /** The server that shows the disks of all sessions. */
  readonly shared: DiskServer | undefined;
  /** Memory for guests' requests. */
  readonly memory: NbdMemory;
  /** Lent. */
  readonly reader: BlockReader;
  /** Records in the session's journal that the sealed log of this disk has begun. */
  readonly begin: (disk: string) => Promise<void>;
  /** Whether nothing may be written at first. */
  readonly isFenced?: boolean;
  readonly onEvent: (event: ServeEvent) => void;
}

export type ServeEvent =
  /** No space is left for guests' writes: they wait. */
  | { readonly kind: 'paused' }
  /** Data that a guest wrote cannot be read back. */
  | { readonly kind: 'damaged'; readonly where: string; readonly what: string }
  /** A guest tried to read data of the recovery point that the store has lost. */
  | { readonly kind: 'lost'; readonly what: string }
  /** The data that the last boot read is in memory. */
  | { readonly kind: 'prefetched'; readonly bytes: number };

export async function serveSession(
  store: Store,
  session: SessionRecord,
  options: ServeOptions,
): Promise<ServedSession> {
  const { set, point, listen, admits, tls, nfs, shared, reader, memory, begin, onEvent } = options;
  await using stack = new AsyncDisposableStack();
  const ending = new AbortController();
  const space = sessionSpace(store, session, {
    signal: ending.signal,
    onPause: () => onEvent({ kind: 'paused' }),
  });
  const bases = new Map<string, ManifestDisk>();
  const overlays: SessionOverlay[] = [];
  const fences = new Map<string, WriteFence>();
  for (const disk of point.disks) {
    const name = `${point.id}/${disk.name}`;
    const hurt = { set: set.name, point: point.id, disk: disk.name };
    const base = stack.use(manifestDisk(reader, { name, root: disk, keys: set.keys, hurt }));
    bases.set(disk.name, base);
    const parts = {
      ...{ disk, set, space, begin },
      base: toldReads(base, (what) => onEvent({ kind: 'lost', what })),
      onDamage: (where: string, what: string) => onEvent({ kind: 'damaged', where, what }),
    };
    const overlay = stack.use(await overlayOf(store, session, parts));
    overlays.push(overlay);
    fences.set(disk.name, writeFence(overlay, options.isFenced));
  }
  const devices = [...fences.values()].map(({ device }) => device);
  // Once no client is answered any longer, writes that wait for space stop waiting: they were never answered.
  stack.defer(() => ending.abort());
  const target = stack.use(
    await openNbdTarget({
      clock: store.clock,
      listen,
      memory,
      admitsProcess: admits,
      ...(!knowsClients(tls) && { admitsUser: options.admitsUser }),
      tls: tls && { mode: 'require', credentials: tls },
    }),
  );
  const exported = exportAll(target, devices, options, session);
  for (const { export: it } of exported) stack.use(it);
  const together = shared?.shows({ tls: tls !== undefined })
    ? exportAll(shared.target, devices, options, session, `${session.id}/`).map((it) =>
        stack.use(it.export),
      )
    : [];
  const here = await exportHere(stack, store, session, { options, devices, own: target.address });
  const disks = new Map(point.disks.map(({ name }, index) => [name, devices[index]!]));
  // Loaded only where it is needed, for a quick start.
  const files =
    nfs &&
    stack.use(
      await (await import('./serve-nfs.ts')).serveNfs(store, session, nfs.place, {
        ...{ disks, set, server: nfs.server, machine: options.machine },
      }),
    );
  const boot = followBoot(store, { ...options, bases, limit: reader.cacheLength / 2 });
  stack.defer(boot.end);
  const owned = stack.move();
  return {
    exports: exported.map(({ served }) => served),
    address: target.address,
    here: here.address,
    files,
    disk: (name) => fences.get(name)!.device,
    async setFence(isUp) {
      await Promise.all([...fences.values()].map((it) => it.set(isUp)));
    },
    overlays: () => overlays.flatMap(({ stats }) => stats ?? []),
    shown: [
      ...exported.map((it) => it.export),
      ...(files ? [files.export] : []),
      ...together,
      ...here.exports,
    ],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface HereParts {
  readonly options: ServeOptions;
  readonly devices: readonly WritableBlockDevice[];
  /** The address for guests. */
  readonly own: Address;
}

/** Exports the disks for other processes of this machine (`mount`, `files`), where guests use the network. */
async function exportHere(
  stack: AsyncDisposableStack,
  store: Store,
  session: SessionRecord,
  { options, devices, own }: HereParts,
): Promise<{ readonly address: Address; readonly exports: readonly Export[] }> {
  const { listen, tls, memory } = options;
  if (listen.kind === 'unix' && !tls) return { address: own, exports: [] };
  const here = { kind: 'unix', path: innerSocket(store, session.id) } as const;
  const target = stack.use(
    await openNbdTarget({ clock: store.clock, listen: here, memory, tls: undefined }),
  );
  const exports = exportAll(target, devices, options, session).map((it) => stack.use(it.export));
  return { address: here, exports };
}

function exportAll(
  target: NbdTarget,
  devices: readonly WritableBlockDevice[],
  { point }: Pick<ServeOptions, 'point'>,
  { placement }: SessionRecord,
  before = '',
): { readonly export: Export; readonly served: ServedDisk }[] {
  return point.disks.map(({ name, size, sectorSize }, index) => {
    const description = `${point.machine} ${name}, ${point.created}`;
    const made = target.export(`${before}${name}`, devices[index]!, {
      description,
      // What its guest writes is kept on its hypervisor, and nothing may change what that is written over.
      readOnly: placement?.plan.writes === 'there',
      ...(sectorSize && { sectorSize }),
    });
    const served = { disk: name, size, uri: made.uri, ...(sectorSize && { sectorSize }) };
    return { export: made, served };
  });
}

/** Prefetches what the last boot read, and records this one. */
function followBoot(
  store: Store,
  {
    set,
    point,
    onEvent,
    bases,
    limit,
  }: ServeOptions & { readonly bases: ReadonlyMap<string, ManifestDisk>; readonly limit: number },
) {
  const stop = new AbortController();
  const recorder = recordBoot(bases);
  let saved: Promise<void> | undefined;

  async function fetchProfile(): Promise<void> {
    const profile = await loadProfile(store, set, point.machine);
    if (!profile) return;
    const bytes = await prefetchBoot(bases, profile, { limit, signal: stop.signal });
    onEvent({ kind: 'prefetched', bytes });
  }
  /** Failing to store a profile must not disturb a guest. */
  function save(): Promise<void> {
    saved ??= keepProfile(store, set, recorder.profile(point.machine)).catch(() => {});
    return saved;
  }
  const fetching = fetchProfile().catch(() => {});
  store.clock.sleep(RECORD_MS, stop.signal).then(save, () => {});
  return {
    async end(): Promise<void> {
      stop.abort();
      await fetching;
      await save();
    },
  };
}
