import type { BlockDevice, WritableBlockDevice } from '../../block/block-device.ts';
import { isWritable } from '../../block/block-device.ts';
import { BlockError } from '../../block/block-error.ts';
import { slice } from '../../block/slice.ts';
import { asError } from '../../lib/as-error.ts';
import type { World } from '../../sys/world.ts';
import type { FileTree } from '../../vfs/file-tree.ts';
import { TreeError } from '../../vfs/tree-error.ts';
import { type VirtualTree, VIRTUAL_ROOT, type VirtualNode } from '../../vfs/virtual-tree.ts';

/** The source of a file's bytes. */
export type StoreFile =
  | { readonly kind: 'text'; readonly bytes: Uint8Array }
  /** Opening costs nothing until the first read. */
  | { readonly kind: 'disk'; readonly open: () => BlockDevice }
  /** A part of a disk in the same directory. */
  | { readonly kind: 'part'; readonly disk: string; readonly offset: number };

export interface StoreListing {
  /** The current listing; called repeatedly. Returns the last one if nothing changed. */
  readonly list: () => Promise<VirtualTree<StoreFile>>;
  /**
   * Adds the details of a directory to the listing only once it is first read; undefined: nothing is missing. May be
   * called while a call is under way.
   */
  readonly complete?: (listing: VirtualTree<StoreFile>, path: string) => Promise<void> | undefined;
}

const REFRESH_MS = 5000;
/** Each may hold some MiB of its manifest in memory, or a connection. */
const DEVICES_MAX = 16;

/** The contents of the store in `directory`, as files. Later changes show after a while. */
export async function storeTree(
  { clock, files }: Pick<World, 'clock' | 'files'>,
  directory: string,
  { list, complete }: StoreListing,
): Promise<FileTree> {
  const stop = new AbortController();
  const devices = openDevices();
  let listing = await list();

  async function refresh(): Promise<void> {
    while (!stop.signal.aborted) {
      await clock.sleep(REFRESH_MS, stop.signal).catch(() => {});
      // After a failed listing the old one stays: the next one may succeed.
      listing = await list().catch(() => listing);
    }
  }
  function nodeOf(id: number): VirtualNode<StoreFile> {
    const found = listing.get(id);
    if (found) return found;
    throw new TreeError('STALE', 'this recovery point no longer exists');
  }
  function entries(id: number) {
    const found = listing.entries(id);
    if (found) return found;
    throw new TreeError(listing.get(id) ? 'NOT_DIRECTORY' : 'STALE', 'this is not a directory');
  }
  /** The disk that a file is, or is a part of. */
  function diskOf(id: number): { readonly device: BlockDevice; readonly start: number } {
    const { source, path, parent } = nodeOf(id);
    if (source?.kind === 'disk') return { device: devices.get(path, source.open), start: 0 };
    if (source?.kind !== 'part') throw new TreeError('IS_DIRECTORY', `${path} is not a file`);
    const whole = nodeOf(listing.entry(parent, source.disk) ?? 0);
    if (whole.source?.kind !== 'disk') throw new TreeError('STALE', `${path} has lost its disk`);
    return { device: devices.get(whole.path, whole.source.open), start: source.offset };
  }
  const refreshing = refresh();
  return {
    root: VIRTUAL_ROOT,
    node: (id) => listing.get(id)?.node,
    parent: (id) => nodeOf(id).parent,
    lookup(id, name) {
      entries(id);
      return listing.entry(id, name);
    },
    list: (id, after) => entries(id).filter(({ cookie }) => cookie > after),
    complete: (id) => complete?.(listing, nodeOf(id).path),
    readLink(id) {
      const { target } = nodeOf(id);
      if (target === undefined) throw new TreeError('INVALID', 'this is not a symbolic link');
      return target;
    },
    tryRead(id, into, offset, effort) {
      const { source } = nodeOf(id);
      if (source?.kind === 'text') return copyText(source.bytes, into, offset);
      const { device, start } = diskOf(id);
      return device.tryRead(into, start + offset, effort);
    },
    async read(id, into, offset) {
      const { device, start } = diskOf(id);
      try {
        await device.read(into, start + offset);
      } catch (cause) {
        // It was closed at this moment to make room for others.
        if (!(cause instanceof BlockError) || cause.code !== 'CLOSED') throw cause;
        await diskOf(id).device.read(into, start + offset);
      }
    },
    async extents(id, offset, length) {
      const { node, source } = nodeOf(id);
      if (source?.kind === 'text') return [{ offset, length, kind: 'data' }];
      const { device, start } = diskOf(id);
      return slice(device, { offset: start, length: node.size }).extents(offset, length);
    },
    disk: (id) => writableDisk(nodeOf(id), () => diskOf(id)),
    async space() {
      try {
        return await files.space(directory);
      } catch (cause) {
        throw new TreeError('IO', asError(cause).message, { cause });
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await refreshing;
      await devices[Symbol.asyncDispose]();
    },
  };
}

const WRITE_BITS = 0o222;

function writableDisk(
  { node }: VirtualNode<StoreFile>,
  diskOf: () => { readonly device: BlockDevice; readonly start: number },
): WritableBlockDevice | undefined {
  if (node.kind !== 'file' || (node.mode & WRITE_BITS) === 0) return undefined;
  const { device, start } = diskOf();
  if (!isWritable(device)) return undefined;
  const isWhole = start === 0 && node.size === device.geometry.size;
  const part = isWhole ? device : slice(device, { offset: start, length: node.size });
  return isWritable(part) ? part : undefined;
}

function copyText(bytes: Uint8Array, into: Uint8Array, offset: number): boolean {
  into.set(bytes.subarray(offset, offset + into.length));
  return true;
}

interface OpenDevices extends AsyncDisposable {
  get(path: string, open: () => BlockDevice): BlockDevice;
}

/** The open devices; the least recently used one makes room. */
function openDevices(): OpenDevices {
  const devices = new Map<string, BlockDevice>();
  const closing = new Set<PromiseLike<unknown>>();

  function close(device: BlockDevice): void {
    const closed: PromiseLike<unknown> = device[Symbol.asyncDispose]().then(
      () => closing.delete(closed),
      () => closing.delete(closed),
    );
    closing.add(closed);
  }
  return {
    get(path, open) {
      const known = devices.get(path);
      const device = known ?? open();
      // The first key is the least recently used one.
      if (known) devices.delete(path);
      devices.set(path, device);
      for (const [oldest, old] of devices) {
        if (devices.size <= DEVICES_MAX) break;
        devices.delete(oldest);
        close(old);
      }
      return device;
    },
    async [Symbol.asyncDispose]() {
      for (const device of devices.values()) close(device);
      devices.clear();
      await Promise.all(closing);
    },
  };
}
