import { holdPoint } from '../../catalog/point-lease.ts';
import { readPoint } from '../../catalog/points.ts';
import { oldestFirst } from '../../catalog/publication-order.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import { utf8 } from '../../lib/bytes.ts';
import type { BlockReader } from '../../store/read/block-reader.ts';
import type { Store } from '../../store/directory/store.ts';
import { manifestDisk } from '../../store/read/manifest-disk.ts';
import { sessionDisk } from './session-disk.ts';
import { sessionDiskUri } from '../state/session-sockets.ts';
import { readJournal, sessionDirectory, sessionIds } from '../state/session-files.ts';
import { isServable } from '../state/session-state.ts';
import {
  newVirtualTree,
  type VirtualTree,
  type VirtualFile,
  type VirtualTimes,
} from '../../vfs/virtual-tree.ts';
import type { StoreFile } from './open-disks.ts';
import type { StoreListing } from './store-tree.ts';
import { pointIds } from '../../catalog/point-places.ts';

/**
 * The contents of a tree of the store:
 *
 *   sets/SET/MACHINE/latest -> POINT
 *   sets/SET/MACHINE/POINT/machine.json
 *                          DISK.raw
 *                          DISK-partN.raw
 *   sessions/SESSION/DISK.raw, DISK-partN.raw      (running ones)
 */
export interface ListingOptions {
  readonly sets: readonly OpenSet[];
  /** Shows only this recovery point, or this session. */
  readonly only?: string | undefined;
  /** The point that `only` means: the caller has a lease on it, and it is shown even if it is forgotten. */
  readonly held?: PointRecord | undefined;
  /** Lent. */
  readonly reader: BlockReader;
  /** The path of the sets; empty: the root. */
  readonly setsPath: string;
  /** Undefined: no sessions. */
  readonly sessionsPath: string | undefined;
  /** The parts of the disk that the tree shows at `path`; undefined: the tree shows no parts. */
  readonly partsOf: ((path: string) => Promise<readonly DiskPart[]>) | undefined;
}

export interface DiskPart {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
}

/** The path in a mount. */
export const SETS_PATH = '/sets';
export const SESSIONS_PATH = '/sessions';

const READ_MODE = 0o400;
const WRITE_MODE = 0o600;
/** A running guest may change its partitions. */
const SESSION_PARTS_MS = 10_000;

type StoreFiles = VirtualTree<StoreFile>;

export function storeListing(store: Store, options: ListingOptions): StoreListing {
  const { setsPath, sessionsPath, partsOf } = options;
  const points = pointsOf(store, options);
  const parts = partsOf && disksParts(store, partsOf);
  const since = store.clock.now().getTime();

  let last: { readonly seen: readonly unknown[]; readonly listing: StoreFiles } | undefined;

  /** A listing of many points takes a while to build, and requests wait in the meantime. */
  async function list(): Promise<StoreFiles> {
    const found = await points();
    const running = sessionsPath === undefined ? [] : await runningSessions(store, options.only);
    const seen = [
      ...found.flatMap((it) => it.found),
      ...running.map((session) => JSON.stringify(session)),
      ...(parts?.changing() ?? []),
    ];
    if (!last || !isSame(seen, last.seen)) last = { seen, listing: listed(found, running) };
    return last.listing;
  }
  function listed(found: readonly SetPoints[], running: readonly SessionRecord[]): StoreFiles {
    const listing: StoreFiles = newVirtualTree(since);
    if (setsPath !== '') listing.directory(setsPath, { createdMs: since });
    for (const { set, found: its } of found) {
      listing.directory(`${setsPath}/${set.name}`, { createdMs: Date.parse(set.record.created) });
      for (const point of its) addPoint(listing, point, { store, set, ...options });
    }
    if (sessionsPath !== undefined) {
      listing.directory(sessionsPath, { createdMs: since });
      for (const session of running) {
        addSession(listing, session, { store: store, above: sessionsPath });
      }
    }
    parts?.addKnown(listing);
    return listing;
  }
  if (!parts) return { list };
  return { list, complete: (listing, path) => parts.complete(listing, path) };
}

export function partName(disk: string, number: number): string {
  return `${disk}-part${number}${SUFFIX}`;
}

const SUFFIX = '.raw';

export function diskFileName(disk: string): string {
  return `${disk}${SUFFIX}`;
}

interface SetPoints {
  readonly set: OpenSet;
  readonly found: readonly PointRecord[];
}

function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((it, index) => it === b[index]);
}

/** Each record is read once: it never changes. */
function pointsOf(store: Store, { sets, only, held }: ListingOptions) {
  let known = new Map<string, PointRecord>();

  return async () => {
    const next = new Map<string, PointRecord>();
    const all: SetPoints[] = [];
    for (const set of sets) {
      const found: PointRecord[] = [];
      for (const id of only === undefined ? await pointIds(store, set.name) : [only]) {
        const key = `${set.name}/${id}`;
        // A point that is damaged, or was just forgotten, is not shown.
        const seen = held ?? known.get(key);
        const point = seen ?? (await readPoint(store, set, id).catch(() => undefined));
        if (!point) continue;
        next.set(key, point);
        found.push(point);
      }
      // `latest` points to the last point of a machine.
      all.push({ set, found: oldestFirst(found) });
    }
    known = next;
    return all;
  };
}

function addPoint(
  listing: StoreFiles,
  point: PointRecord,
  {
    store,
    set,
    reader,
    held,
    setsPath,
  }: { readonly store: Store; readonly set: OpenSet } & Pick<
    ListingOptions,
    'reader' | 'held' | 'setsPath'
  >,
): void {
  const { machine, id, created, disks } = point;
  const createdMs = Date.parse(created);
  const above = `${setsPath}/${set.name}/${machine}`;
  const directory = `${above}/${id}`;
  const times: VirtualTimes = { createdMs };
  listing.directory(directory, times);
  const description = utf8(`${JSON.stringify(machineOf(point), undefined, 2)}\n`);
  listing.file(`${directory}/machine.json`, {
    ...{ ...times, mode: 0o444, size: description.length },
    source: { kind: 'text', bytes: description },
  });
  for (const disk of disks) {
    const path = `${directory}/${diskFileName(disk.name)}`;
    const hurt = { set: set.name, point: id, disk: disk.name };
    const open = () => manifestDisk(reader, { name: path, root: disk, keys: set.keys, hurt });
    const hold = held
      ? undefined
      : () => holdPoint(store, set, point, `reading of ${id}/${disk.name}`);
    const source: StoreFile = { kind: 'disk', open, hold };
    listing.file(path, { ...times, mode: READ_MODE, size: disk.size, source });
  }
  listing.relink(`${above}/latest`, id, times);
}

/** The description of the machine: its disks, and their sources. */
function machineOf(point: PointRecord) {
  const { id, set, machine, created, origin, parent, disks, run, consistency } = point;
  return {
    ...{ point: id, set, machine, created, origin, parent, run, consistency },
    disks: disks.map(({ name, size, source }) => ({ name, size, source })),
  };
}

async function runningSessions(store: Store, only: string | undefined): Promise<SessionRecord[]> {
  const running: SessionRecord[] = [];
  for (const id of only === undefined ? await sessionIds(store) : [only]) {
    const lock = `${sessionDirectory(store, id)}/lock`;
    if ((await store.files.lockHolder(lock)) === undefined) continue;
    const session = await readJournal(store, id).catch(() => undefined);
    if (session && isServable(session)) running.push(session);
  }
  return running;
}

function addSession(
  listing: StoreFiles,
  session: SessionRecord,
  { store, above }: { readonly store: Store; readonly above: string },
): void {
  const times: VirtualTimes = { createdMs: Date.parse(session.created) };
  listing.directory(`${above}/${session.id}`, times);
  for (const { name, size } of session.disks) {
    const uri = sessionDiskUri(store, session, name);
    const open = () => sessionDisk(uri, size);
    const source: StoreFile = { kind: 'disk', open, hold: undefined };
    const path = `${above}/${session.id}/${diskFileName(name)}`;
    listing.file(path, { ...times, mode: WRITE_MODE, size, source });
  }
}

/** Looks for the parts of a directory's disks, through `partsOf`, when the directory is first read. */
function disksParts({ clock }: Store, partsOf: (path: string) => Promise<readonly DiskPart[]>) {
  /** Known parts by the disk's path; those of sessions' disks only for a while. */
  const known = new Map<string, { readonly parts: readonly DiskPart[]; readonly until: number }>();
  const looking = new Map<string, Promise<void>>();

  function disksIn(listing: StoreFiles, directory: string): DiskFile[] {
    const found: DiskFile[] = [];
    for (const { id } of listing.entries(listing.find(directory) ?? 0) ?? []) {
      const { path, node, source } = listing.get(id)!;
      if (source?.kind !== 'disk') continue;
      found.push({ path, size: node.size, mode: node.mode, createdMs: node.modifiedMs });
    }
    return found;
  }
  function lacks({ path }: DiskFile): boolean {
    const its = known.get(path);
    return !its || its.until < clock.monotonicMs();
  }
  async function look(disk: DiskFile): Promise<void> {
    const { path, mode, size } = disk;
    // A disk without a readable table has no parts: for now, since a busy host may be the cause.
    const all = await partsOf(path).catch(() => undefined);
    const parts = (all ?? []).filter(({ offset, length }) => length > 0 && offset + length <= size);
    const isSteady = mode === READ_MODE && all !== undefined;
    const until = isSteady ? Number.POSITIVE_INFINITY : clock.monotonicMs() + SESSION_PARTS_MS;
    known.set(path, { parts, until });
  }
  function add(listing: StoreFiles, { path, mode, createdMs }: DiskFile): void {
    const disk = path.slice(path.lastIndexOf('/') + 1);
    const above = path.slice(0, -disk.length);
    for (const { number, offset, length } of known.get(path)?.parts ?? []) {
      const source: StoreFile = { kind: 'part', disk, offset };
      const name = partName(disk.slice(0, -SUFFIX.length), number);
      listing.file(`${above}${name}`, { createdMs, mode, size: length, source });
    }
  }
  return {
    /** The entries that may change: the known parts of sessions' disks. */
    changing: () => [...known.values()].filter(({ until }) => Number.isFinite(until)),
    addKnown(listing: StoreFiles): void {
      for (const path of known.keys()) {
        const node = listing.get(listing.find(path) ?? 0)?.node;
        if (node)
          add(listing, { path, mode: node.mode, size: node.size, createdMs: node.modifiedMs });
        else known.delete(path);
      }
    },
    complete(listing: StoreFiles, directory: string): Promise<void> | undefined {
      const lacking = disksIn(listing, directory).filter(lacks);
      if (lacking.length === 0) return undefined;
      const under = looking.get(directory);
      if (under) return under.then(() => lacking.forEach((disk) => add(listing, disk)));
      const task = Promise.all(lacking.map(look))
        .then(() => lacking.forEach((disk) => add(listing, disk)))
        .finally(() => looking.delete(directory));
      looking.set(directory, task);
      return task;
    },
  };
}

type DiskFile = VirtualTimes &
  Pick<VirtualFile<StoreFile>, 'size' | 'mode'> & { readonly path: string };
