import type { BlockDevice } from '../block/block-device.ts';
import { BlockError } from '../block/block-error.ts';
import { listPoints } from '../catalog/points.ts';
import type { OpenSet } from '../catalog/sets.ts';
import { keyedHash } from '../formats/store/digest.ts';
import type { PointDisk, PointRecord } from '../formats/store/point.ts';
import { utf8 } from '../lib/bytes.ts';
import type { BlockReader } from '../store/block-reader.ts';
import { manifestDisk } from '../store/manifest-disk.ts';
import type { FileTree, TreeEntry, TreeNode } from '../tree/file-tree.ts';
import { TreeError } from '../tree/tree-error.ts';
import type { SessionHouse } from './session-steps.ts';

/**
 * The recovery points of a set as files to be read: `SET/MACHINE/POINT/DISK.raw`. What was made or forgotten since is
 * noticed by and by. The reader is lent.
 */
export async function pointsTree(
  house: SessionHouse,
  set: OpenSet,
  reader: BlockReader,
): Promise<FileTree> {
  const { clock } = house.world;
  const stop = new AbortController();
  const devices = new Map<number, BlockDevice>();
  const closing = new Set<PromiseLike<void>>();
  let shelf = await readShelf(house, set);

  async function refresh(): Promise<void> {
    for (;;) {
      await clock.sleep(REFRESH_MS, stop.signal);
      shelf = await readShelf(house, set);
    }
  }
  function nodeOf(id: number): ShelfNode {
    const found = shelf.get(id);
    if (found) return found;
    throw new TreeError('STALE', 'that recovery point is no more');
  }
  function entries(id: number): readonly TreeEntry[] {
    const { children } = nodeOf(id);
    if (children) return children;
    throw new TreeError('NOT_DIRECTORY', 'that is no directory');
  }
  /** Opening costs nothing until something is read. */
  function deviceOf(id: number): BlockDevice {
    const known = devices.get(id);
    if (known) return known;
    const { disk, path } = nodeOf(id);
    if (!disk) throw new TreeError('IS_DIRECTORY', 'that is a directory');
    if (devices.size >= DEVICES_MAX) {
      for (const [oldest, device] of devices) {
        devices.delete(oldest);
        closing.add(device[Symbol.asyncDispose]());
        break;
      }
    }
    const device = manifestDisk(reader, { name: path, root: disk, keys: set.keys });
    devices.set(id, device);
    return device;
  }
  const refreshing = refresh().catch(() => {});
  return {
    root: ROOT,
    node: (id) => shelf.get(id)?.node,
    parent: (id) => nodeOf(id).parent,
    lookup: (id, name) => entries(id).find((entry) => entry.name === name)?.id,
    list: (id, after) => entries(id).filter(({ cookie }) => cookie > after),
    readLink() {
      throw new TreeError('INVALID', 'that is no symbolic link');
    },
    tryRead: (id, into, offset, effort) => deviceOf(id).tryRead(into, offset, effort),
    async read(id, into, offset) {
      try {
        await deviceOf(id).read(into, offset);
      } catch (cause) {
        // Closed to make room for others, in that very moment.
        if (!(cause instanceof BlockError) || cause.code !== 'CLOSED') throw cause;
        await deviceOf(id).read(into, offset);
      }
    },
    async space() {
      return { totalBytes: 0, freeBytes: 0 };
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await refreshing;
      for (const device of devices.values()) closing.add(device[Symbol.asyncDispose]());
      await Promise.all(closing);
    },
  };
}

const ROOT = 1;
const REFRESH_MS = 30_000;
/** Each may have some MiB of its manifest in memory. */
const DEVICES_MAX = 16;
const DIRECTORY_SIZE = 4096;

interface ShelfNode {
  readonly path: string;
  readonly parent: number;
  readonly node: TreeNode;
  readonly children: TreeEntry[] | undefined;
  readonly disk: PointDisk | undefined;
}

type Shelf = Map<number, ShelfNode>;

async function readShelf({ world, store }: SessionHouse, set: OpenSet): Promise<Shelf> {
  const { points } = await listPoints(world, store, set.name, set.keys);
  const shelf: Shelf = new Map();
  add(shelf, { path: '', parent: ROOT, createdMs: 0 });
  for (const point of points) addPoint(shelf, point);
  for (const { children } of shelf.values()) children?.sort((a, b) => a.cookie - b.cookie);
  return shelf;
}

function addPoint(shelf: Shelf, { set, machine, id, created, disks }: PointRecord): void {
  const createdMs = Date.parse(created);
  let parent = ROOT;
  let path = '';
  for (const name of [set, machine, id]) {
    path = `${path}/${name}`;
    parent = add(shelf, { path, parent, createdMs });
  }
  for (const disk of disks)
    add(shelf, { path: `${path}/${disk.name}.raw`, parent, createdMs, disk });
}

/** Answers the node's id, which comes from its path: so it stays, whatever else comes and goes. */
function add(
  shelf: Shelf,
  at: {
    readonly path: string;
    readonly parent: number;
    readonly createdMs: number;
    readonly disk?: PointDisk;
  },
): number {
  const { path, parent, createdMs, disk } = at;
  let id = path === '' ? ROOT : idOf(path);
  while (shelf.has(id) && shelf.get(id)!.path !== path) id = (id + 1) % 2 ** 31;
  if (shelf.has(id)) return id;
  const isDirectory = disk === undefined;
  const node: TreeNode = {
    ...{ id, kind: isDirectory ? 'directory' : 'file', mode: isDirectory ? 0o555 : 0o400 },
    ...{ uid: 0, gid: 0, links: isDirectory ? 2 : 1, size: disk?.size ?? DIRECTORY_SIZE },
    ...{ accessedMs: createdMs, modifiedMs: createdMs, changedMs: createdMs },
  };
  shelf.set(id, { path, parent, node, disk, children: isDirectory ? [] : undefined });
  const name = path.slice(path.lastIndexOf('/') + 1);
  // The id does for the cookie as well: above those of "." and "..".
  if (path !== '') shelf.get(parent)!.children!.push({ name, id, cookie: id });
  return id;
}

function idOf(path: string): number {
  const digest = keyedHash(new Uint8Array(0), utf8(path));
  const number = new DataView(digest.buffer, digest.byteOffset, 4).getUint32(0) >>> 1;
  return Math.max(FIRST_ID, number);
}

const FIRST_ID = 3;
