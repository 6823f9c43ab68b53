import type { BlockDevice, WritableBlockDevice } from '../../block/block-device.ts';
import { isWritable } from '../../block/block-device.ts';
import { slice } from '../../block/slice.ts';
import { asError } from '../../lib/as-error.ts';
import type { World } from '../../sys/world.ts';
import type { FileTree } from '../../vfs/file-tree.ts';
import { TreeError } from '../../vfs/tree-error.ts';
import { openDisks, type PlacedFile, type StoreFile } from './open-disks.ts';
import { type VirtualTree, VIRTUAL_ROOT, type VirtualNode } from '../../vfs/virtual-tree.ts';

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
/** The contents of the store in `directory`, as files. Later changes show after a while. */
export async function storeTree(
  { clock, files }: Pick<World, 'clock' | 'files'>,
  directory: string,
  { list, complete }: StoreListing,
): Promise<FileTree> {
  const stop = new AbortController();
  const disks = openDisks(clock);
  let listing = await list();

  async function refresh(): Promise<void> {
    while (!stop.signal.aborted) {
      await clock.sleep(REFRESH_MS, stop.signal).catch(() => {});
      // After a failed listing the old one stays: the next one may succeed.
      listing = await list().catch(() => listing);
      await disks.expire();
    }
  }
  function nodeOf(id: number): VirtualNode<StoreFile> {
    const found = listing.get(id) ?? disks.find(id)?.node;
    if (found) return found;
    throw new TreeError('STALE', 'this recovery point no longer exists');
  }
  function entries(id: number) {
    const found = listing.entries(id);
    if (found) return found;
    throw new TreeError(listing.get(id) ? 'NOT_DIRECTORY' : 'STALE', 'this is not a directory');
  }
  /** The disk that a file is, or is a part of. */
  function fileOf(id: number): PlacedFile {
    const known = listing.get(id) ? undefined : disks.find(id);
    if (known) return known;
    const node = nodeOf(id);
    const { source, path, parent } = node;
    if (source?.kind === 'disk') return { ...source, path, node, start: 0 };
    if (source?.kind !== 'part') throw new TreeError('IS_DIRECTORY', `${path} is not a file`);
    const whole = nodeOf(listing.entry(parent, source.disk) ?? 0);
    if (whole.source?.kind !== 'disk') throw new TreeError('STALE', `${path} has lost its disk`);
    return { ...whole.source, path: whole.path, node, start: source.offset };
  }
  const refreshing = refresh();
  return {
    root: VIRTUAL_ROOT,
    node: (id) => (listing.get(id) ?? disks.find(id)?.node)?.node,
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
      return disks.tryRead(id, fileOf(id), into, offset, effort);
    },
    read: async (id, into, offset) => disks.read(id, fileOf(id), into, offset),
    open: (id) => (isDisk(nodeOf(id)) ? disks.open(id, fileOf(id)) : undefined),
    close: (id) => disks.close(id),
    async extents(id, offset, length) {
      const { node, source } = nodeOf(id);
      if (source?.kind === 'text') return [{ offset, length, kind: 'data' }];
      return disks.extents(id, fileOf(id), { size: node.size, offset, length });
    },
    disk: (id) => writableDisk(nodeOf(id), () => disks.device(fileOf(id))),
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
      await disks[Symbol.asyncDispose]();
    },
  };
}

const WRITE_BITS = 0o222;

function isDisk({ source }: VirtualNode<StoreFile>): boolean {
  return source?.kind === 'disk' || source?.kind === 'part';
}

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
