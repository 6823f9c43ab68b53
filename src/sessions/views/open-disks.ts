import type { BlockDevice, Effort, Extent } from '../../block/block-device.ts';
import { BlockError } from '../../block/block-error.ts';
import { slice } from '../../block/slice.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { VirtualNode } from '../../vfs/virtual-tree.ts';
import { type DiskFile, heldDisks } from './held-disks.ts';

/** The source of a file's bytes. */
export type StoreFile =
  | { readonly kind: 'text'; readonly bytes: Uint8Array }
  /** Opening costs nothing until the first read. */
  | {
      readonly kind: 'disk';
      readonly open: () => BlockDevice;
      /** Taken before anything is read; undefined: the disk needs no lease. */
      readonly hold: (() => Promise<AsyncDisposable>) | undefined;
    }
  /** A part of a disk in the same directory. */
  | { readonly kind: 'part'; readonly disk: string; readonly offset: number };

/** A file that is a disk, or a part of one from `start` on. */
export interface PlacedFile extends DiskFile {
  readonly node: VirtualNode<StoreFile>;
  readonly open: () => BlockDevice;
  readonly start: number;
}

/** The disks behind files of a tree: opened when they are read, under a lease where they need one. */
export interface OpenDisks
  extends Pick<ReturnType<typeof heldDisks<PlacedFile>>, 'close' | 'find' | 'expire'>,
    AsyncDisposable {
  /** As `BlockDevice.tryRead`; offsets are the file's. */
  tryRead(id: number, file: PlacedFile, ...read: Read): boolean;
  read(id: number, file: PlacedFile, into: Uint8Array, offset: number): Promise<void>;
  extents(id: number, file: PlacedFile, range: Range): Promise<readonly Extent[]>;
  /** As `FileTree.open`. */
  open(id: number, file: PlacedFile): Promise<void> | undefined;
  /** For disks that need no lease. */
  device(file: PlacedFile): { readonly device: BlockDevice; readonly start: number };
}

type Read = [into: Uint8Array, offset: number, effort: Effort];

interface Range {
  /** The file's. */
  readonly size: number;
  readonly offset: number;
  readonly length: number;
}

/** Each may hold some MiB of its manifest in memory, or a connection. */
const DEVICES_MAX = 16;

export function openDisks(clock: Pick<Clock, 'monotonicMs'>): OpenDisks {
  const devices = openDevices();
  const held = heldDisks<PlacedFile>(clock, devices.drop);
  const deviceOf = ({ path, open }: PlacedFile): BlockDevice => devices.get(path, open);

  return {
    tryRead(id, file, into, offset, effort) {
      if (!held.isHeld(id, file)) return false;
      return deviceOf(file).tryRead(into, file.start + offset, effort);
    },
    read: (id, file, into, offset) =>
      held.during(id, file, async () => {
        try {
          await deviceOf(file).read(into, file.start + offset);
        } catch (cause) {
          // It was closed at this moment to make room for others.
          if (!(cause instanceof BlockError) || cause.code !== 'CLOSED') throw cause;
          await deviceOf(file).read(into, file.start + offset);
        }
      }),
    extents: (id, file, { size, offset, length }) =>
      held.during(id, file, () =>
        slice(deviceOf(file), { offset: file.start, length: size }).extents(offset, length),
      ),
    open: (id, file) => file.hold && held.open(id, file),
    close: held.close,
    find: held.find,
    expire: held.expire,
    device: (file) => ({ device: deviceOf(file), start: file.start }),
    async [Symbol.asyncDispose]() {
      await held[Symbol.asyncDispose]();
      await devices[Symbol.asyncDispose]();
    },
  };
}

interface OpenDevices extends AsyncDisposable {
  get(path: string, open: () => BlockDevice): BlockDevice;
  /** Closes the device, if it is open; then nothing reads it any longer. */
  drop(path: string): Promise<void>;
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
    async drop(path) {
      const device = devices.get(path);
      devices.delete(path);
      if (device) close(device);
      // One that made room for others may still be closing.
      await Promise.all(closing);
    },
    async [Symbol.asyncDispose]() {
      for (const device of devices.values()) close(device);
      devices.clear();
      await Promise.all(closing);
    },
  };
}
