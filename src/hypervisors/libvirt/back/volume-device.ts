import type { WritableBlockDevice } from '../../../block/block-device.ts';
import { BlockError } from '../../../block/block-error.ts';
import { writeLayer } from '../../../block/layer.ts';
import {
  type FilePart,
  type FoundRange,
  type NewQcow2,
  newQcow2,
} from '../../../formats/image/qcow2-image.ts';
import { LIBVIRT_CALLS, type LibvirtVolume } from '../../../formats/wire/libvirt-calls.ts';
import { MiB } from '../../../lib/sizes.ts';
import { type Turns, turns } from '../../../lib/mutex.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { ReservedDisk } from '../../base/run-driver.ts';
import { first, parseXml, textOf } from '../../base/xml.ts';
import type { LibvirtHost } from '../libvirt-host.ts';

/*
 * A volume of the host, written and read through libvirt itself: over whatever way libvirt is reached, with no right
 * but libvirt's, and no program on the host. A stream carries bytes of the volume's file, so where that is to be a
 * qcow2 image, we make the image (qcow2-image.ts). Each write and each read is a stream of its own: libvirtd has
 * written a stream when it ends, and keeps no more than that in memory.
 */

/** Requests of this length cost little more than their bytes. */
const UNIT = 64 * 1024;

interface Volume {
  readonly host: LibvirtHost;
  readonly volume: LibvirtVolume;
  readonly size: number;
  readonly signal: AbortSignal;
  /** libvirt writes one stream to a volume at a time, and refuses others. */
  readonly inTurn: Turns;
}

/** Rejects HypervisorError. */
export async function openVolume(
  host: LibvirtHost,
  { source, size }: ReservedDisk,
  signal: AbortSignal,
): Promise<WritableBlockDevice> {
  const { link } = host;
  const volume = await link.call(LIBVIRT_CALLS.volumeByPath, { path: source }, signal);
  const opened = { host, volume, size, signal, inTurn: turns() };
  if (await isBlockVolume(host, source, signal)) return rawDevice(opened);
  const xml = await link.call(LIBVIRT_CALLS.volumeXml, { volume, flags: 0 }, signal);
  const length = Number(textOf(first(parseXml(xml, 'volume'), 'physical')) ?? Number.NaN);
  if (Number.isSafeInteger(length)) return imageDevice(opened, length);
  throw new HypervisorError('FAILED', `libvirt does not say how long the file ${source} is`);
}

/** Whether the volume of that path is a block device; else it is a file. */
export async function isBlockVolume(
  { link }: LibvirtHost,
  path: string,
  signal: AbortSignal,
): Promise<boolean> {
  const volume = await link.call(LIBVIRT_CALLS.volumeByPath, { path }, signal);
  const { type } = await link.call(LIBVIRT_CALLS.volumeInfo, { volume }, signal);
  return type === 'block';
}

/** The last program that closes a block device has Linux write all of it. */
function rawDevice(opened: Volume): WritableBlockDevice {
  const { size, volume } = opened;
  return writeLayer(
    volume.key,
    { size, blockSize: UNIT },
    {
      read: (into, offset) => download(opened, into, offset),
      write: (from, offset) => upload(opened, from, offset),
      flush: async () => {},
    },
  );
}

/** `length`: of the file as libvirt has made it. */
function imageDevice(opened: Volume, length: number): WritableBlockDevice {
  const { size, volume } = opened;
  const image = newQcow2(size, length);
  let state: 'open' | 'ended' | 'whole' = 'open';
  function requireOpen(): void {
    if (state === 'open') return;
    throw new BlockError('READ_ONLY', `${volume.key} is whole, and is written no longer`);
  }
  return writeLayer(
    volume.key,
    { size, blockSize: UNIT },
    {
      async read(into, offset) {
        for (const { at, part } of partsOf(into, offset, image.find(offset, into.length))) {
          if (at === undefined) part.fill(0);
          else await download(opened, part, at);
        }
      },
      /** A cluster that the image lacks is zeros, which do not have to be read. */
      async extents(offset, length) {
        return image.find(offset, length).map((it) => ({
          ...{ offset: it.offset, length: it.length },
          kind: it.at === undefined ? 'zero' : 'data',
        }));
      },
      async write(from, offset) {
        requireOpen();
        for (const { at, part } of partsOf(from, offset, image.place(offset, from.length))) {
          await upload(opened, part, at!);
        }
      },
      async zero(offset, count) {
        requireOpen();
        const written = image.find(offset, count).filter(({ at }) => at !== undefined);
        for (const it of written) await upload(opened, new Uint8Array(it.length), it.at!);
      },
      async flush() {
        if (state === 'whole') return;
        // What has failed is done again.
        state = 'ended';
        await complete(opened, image);
        state = 'whole';
      },
    },
  );
}

function partsOf(bytes: Uint8Array, offset: number, ranges: readonly FoundRange[]) {
  return ranges.map((it) => ({
    at: it.at,
    part: bytes.subarray(it.offset - offset, it.offset - offset + it.length),
  }));
}

async function complete(opened: Volume, image: NewQcow2): Promise<void> {
  const { size } = opened;
  const { parts, header } = image.tables();
  for (const it of parts) await uploadPart(opened, it);
  const end = Math.max(...parts.map(({ at, bytes }) => at + bytes.length));
  const claimed = Math.min(image.claimMax, await claimedSize(opened, end));
  await uploadPart(opened, header(claimed));
  await sync(opened, claimed);
  if (claimed !== size) await uploadPart(opened, header(size));
  for (const it of parts) await requireSame(opened, it);
  const { at, bytes } = header(size);
  await requireSame(opened, { at, bytes: bytes.subarray(0, HEADER_FIXED) });
}

/** What QEMU does not change in a header: all that leads to data, and the features that say how it is read. */
const HEADER_FIXED = 80;

/**
 * libvirt refuses any size below what the file takes on its medium, which is more than the disk's if that is full. Then
 * the header claims more until all is on the medium. The true size is in the host's memory at first, as its kernel
 * writes it a moment later: if the host loses its power before that, zeros follow the disk.
 */
async function claimedSize(
  { host: { link }, volume, size, signal }: Volume,
  end: number,
): Promise<number> {
  const { allocation } = await asBlock(() =>
    link.call(LIBVIRT_CALLS.volumeInfo, { volume }, signal),
  );
  const known = Math.max(allocation, end);
  const taken = known + UNCOUNTED + known / 1024;
  return taken <= size ? size : Math.ceil(taken / UNCOUNTED) * UNCOUNTED;
}

/** The header is still to come, and file systems count some of their own, some of them later. */
const UNCOUNTED = MiB;

async function uploadPart(opened: Volume, { at, bytes }: FilePart): Promise<void> {
  await upload(opened, bytes, at);
}

/** Data is read back by who writes it, through tables that are only in our memory: those of the file are read here. */
async function requireSame(opened: Volume, { at, bytes }: FilePart): Promise<void> {
  const read = new Uint8Array(bytes.length);
  await download(opened, read, at);
  if (Buffer.compare(read, bytes) === 0) return;
  const where = `${at}+${bytes.length}`;
  throw new BlockError('IO', `${opened.volume.key}: its tables read back differently at ${where}`);
}

/**
 * A stream ends with bytes in the host's memory. QEMU's own tool, which writes the size of the image again, has all of
 * the file written to its medium before it ends; and it refuses an image whose tables it cannot follow.
 */
async function sync({ host, volume, signal }: Volume, capacity: number): Promise<void> {
  const { link } = host;
  await asBlock(async () => {
    const { name } = volume;
    const pool = await link.call(LIBVIRT_CALLS.poolByName, { name: volume.pool }, signal);
    // libvirt reads the header that is there now.
    await link.call(LIBVIRT_CALLS.refreshPool, { pool, flags: 0 }, signal);
    const again = await link.call(LIBVIRT_CALLS.volumeByName, { pool, name }, signal);
    await link.call(LIBVIRT_CALLS.resizeVolume, { volume: again, capacity, flags: 0 }, signal);
  });
}

async function upload(
  { host, volume, signal, inTurn }: Volume,
  bytes: Uint8Array,
  offset: number,
): Promise<void> {
  const range = { volume, offset, length: bytes.length, flags: 0 };
  await asBlock(() =>
    inTurn(() => host.link.upload(LIBVIRT_CALLS.uploadVolume, range, { bytes, signal })),
  );
}

async function download(
  { host, volume, signal }: Volume,
  into: Uint8Array,
  offset: number,
): Promise<void> {
  const range = { volume, offset, length: into.length, flags: 0 };
  const read = await asBlock(() =>
    host.link.download(LIBVIRT_CALLS.downloadVolume, range, { lengthMax: into.length, signal }),
  );
  if (read.length !== into.length) {
    const what = `${read.length} bytes at ${offset}, not ${into.length}`;
    throw new BlockError('IO', `${volume.key}: libvirt has answered with ${what}`);
  }
  into.set(read);
}

/** A device's errors, with what libvirt said as their cause. */
async function asBlock<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    const isFull = cause.code === 'NO_SPACE' || /No space left on device/.test(cause.message);
    throw new BlockError(isFull ? 'NO_SPACE' : 'IO', cause.message, { cause });
  }
}
