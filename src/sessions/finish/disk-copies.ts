import { dirname } from 'node:path/posix';
import type { BlockDevice } from '../../block/block-device.ts';
import { SEGMENT_LENGTH } from '../../formats/store/packs/node.ts';
import { touched } from '../../ingest/backup/changed-blocks.ts';
import { requireSpaceForAll } from '../../ingest/restore/restore-limits.ts';
import {
  checkTarget,
  existingImage,
  openTarget,
  type RestoreTarget,
} from '../../ingest/restore/restore-target.ts';
import { areSame, rewriteDisk, type RewriteProgress } from '../../ingest/restore/rewrite-disk.ts';
import type { ImageFormat } from '../../ingest/source/image-format.ts';
import { type IsSecret, imageSource } from '../../ingest/source/image-source.ts';
import { IngestError } from '../../ingest/source/ingest-error.ts';
import { assert } from '../../lib/assert.ts';
import type { Store } from '../../store/directory/store.ts';
import type { ByteRange } from '../../lib/bytes.ts';

/* All disks of a machine on their way to permanent storage: none gets its name before all are whole. */

export interface DiskTarget {
  readonly disk: string;
  /** A file, a block device, or an NBD URI. */
  readonly to: string;
  /** Undefined: the format that the file's name implies, otherwise raw. */
  readonly format: ImageFormat | undefined;
}

export interface CopyOptions {
  /** One for each disk, and each another place. */
  readonly targets: readonly DiskTarget[];
  readonly overwrite: boolean;
  readonly mayErase: (device: string) => Promise<void>;
  readonly isSecret: IsSecret;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (disk: string, progress: RewriteProgress) => void;
}

export interface CopiedDisk {
  readonly disk: string;
  readonly to: string;
  readonly format: ImageFormat;
  readonly size: number;
  /** Zero: the file held the disk already. */
  readonly writtenBytes: number;
}

/** Disposing leaves no file that was not published. */
export interface DiskCopies extends AsyncDisposable {
  /** Copies disks below what a guest writes in the meantime; resolves with the number of bytes that were written. */
  copyBases(bases: readonly NamedDisk[]): Promise<number>;
  /**
   * Copies what is missing. A file that already holds the disk is left as it is: an earlier attempt has written it.
   */
  complete(disks: readonly NamedDisk[]): Promise<readonly CopiedDisk[]>;
  /** Gives all files their names. */
  publish(): Promise<void>;
}

export interface NamedDisk {
  readonly name: string;
  readonly device: BlockDevice;
  /** What differs from its base: needed if that was copied before. */
  readonly written?: () => AsyncIterable<ByteRange>;
}

interface Copy {
  readonly target: RestoreTarget;
  readonly writtenBytes: number;
}

type Told = Pick<Parameters<typeof rewriteDisk>[2], 'signal' | 'onProgress'>;

export function diskCopies(store: Store, options: CopyOptions): DiskCopies {
  const { targets, overwrite, mayErase, isSecret, signal, onProgress } = options;
  const stack = new AsyncDisposableStack();
  const copies = new Map<string, Copy>();
  const targetOf = (disk: string): DiskTarget => targets.find((it) => it.disk === disk)!;
  const told = (disk: string): Told => ({
    signal,
    onProgress: (progress) => onProgress(disk, progress),
  });

  async function copy({ name, device }: NamedDisk): Promise<Copy> {
    const { to, format } = targetOf(name);
    const target = stack.use(
      await openTarget(store, device, { to, format, overwrite, store, mayErase, signal }),
    );
    const { isEmpty, forget } = target;
    const how = { isEmpty, forget, ...told(name) };
    const { writtenBytes } = await rewriteDisk(device, target.device, how);
    return { target, writtenBytes };
  }
  async function requireRoom(disks: readonly NamedDisk[]): Promise<void> {
    const wanted = disks.map(({ name, device }) => ({ device, to: targetOf(name).to }));
    await requireSpaceForAll(store, wanted, { store, signal });
  }
  return {
    async copyBases(bases) {
      for (const { to, format } of targets) {
        await checkTarget(store, { to, format, overwrite, store });
      }
      await requireRoom(bases);
      let sum = 0;
      for (const base of bases) {
        const made = await copy(base);
        copies.set(base.name, made);
        sum += made.writtenBytes;
      }
      return sum;
    },
    async complete(disks) {
      const there = new Map<string, ImageFormat>();
      for (const { name, device } of disks) {
        if (overwrite || copies.has(name)) continue;
        const parts = { target: targetOf(name), isSecret, told: told(name) };
        const format = await formatThere(store, device, parts);
        if (format) there.set(name, format);
      }
      await requireRoom(disks.filter(({ name }) => !copies.has(name) && !there.has(name)));
      const done: CopiedDisk[] = [];
      for (const disk of disks) {
        const { name, device } = disk;
        const facts = { disk: name, to: targetOf(name).to, size: device.geometry.size };
        const format = there.get(name);
        if (format) {
          done.push({ ...facts, format, writtenBytes: 0 });
          continue;
        }
        const base = copies.get(name);
        const made = base ? await addWrites(base, disk, told(name)) : await copy(disk);
        copies.set(name, made);
        await made.target.finish();
        done.push({ ...facts, format: made.target.format, writtenBytes: made.writtenBytes });
      }
      return done;
    },
    async publish() {
      for (const { target } of copies.values()) await target.publish();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Copies what the guest has written over the copy of its base. */
async function addWrites(base: Copy, disk: NamedDisk, told: Told): Promise<Copy> {
  const ranges = await writtenRanges(disk);
  const { device, forget } = base.target;
  const over = { isEmpty: false, forget, ranges, ...told };
  const { writtenBytes } = await rewriteDisk(disk.device, device, over);
  return { ...base, writtenBytes: base.writtenBytes + writtenBytes };
}

async function writtenRanges({ device, written }: NamedDisk): Promise<readonly ByteRange[]> {
  assert(written, 'the base was copied before');
  const { size } = device.geometry;
  const pieces = touched(SEGMENT_LENGTH, size);
  for await (const range of written()) pieces.add(range);
  return pieces.runs().map(({ first, count }) => {
    const offset = first * SEGMENT_LENGTH;
    return { offset, length: Math.min(count * SEGMENT_LENGTH, size - offset) };
  });
}

/** The format of an existing file that holds exactly this disk, on the medium and without any other file. */
async function formatThere(
  store: Store,
  disk: BlockDevice,
  {
    target,
    isSecret,
    told,
  }: { readonly target: DiskTarget; readonly isSecret: IsSecret; readonly told: Told },
): Promise<ImageFormat | undefined> {
  const found = await existingImage(store, target);
  if (!found) return undefined;
  const { path, format } = found;
  try {
    await makeDurable(store, path);
    await using source = await imageSource(store, path, { format, isSecret, isOneFile: true });
    return (await areSame(disk, source.device, told)) ? format : undefined;
  } catch (cause) {
    // It is not an image of ours.
    if (cause instanceof IngestError) return undefined;
    throw cause;
  }
}

/** Another program may have written it: it counts once it is on the medium under its name, and is read from there. */
async function makeDurable({ files }: Store, path: string): Promise<void> {
  await using file = await files.open(path, 'read');
  await file.sync();
  await files.syncDirectory(dirname(path));
  await file.drop(0, await file.size());
}
