import { emptyQcow2 } from '../../../formats/image/qcow2-image.ts';
import {
  LIBVIRT_CALLS,
  type LibvirtPool,
  type LibvirtVolume,
} from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { ReservedDisk, RunPlan, ShownDisk } from '../../base/run-driver.ts';
import { first, parseXml, textOf } from '../../base/xml.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import { volumeIn } from './places.ts';
import {
  definitions,
  hasFiles,
  lengthIn,
  makeVolume,
  pathOf,
  poolOf,
  requireSpace,
} from './reserved.ts';
import { reservedName } from './reserved-names.ts';
import { sourceFor } from './served-disk.ts';

/*
 * Disks of the host to which a guest writes from the beginning: qcow2 images over what a session serves. The image
 * itself names what is below it, so that it never looks whole where a definition says less. libvirt makes no image over
 * another host's disk: it makes the file, and we write the image; the header, which names the layer below, comes last,
 * and a volume that lacks it is made again as long as no machine has it.
 */

type Layered = Pick<RunPlan, 'session' | 'disks'> & { readonly pool: string };

interface Layer {
  readonly name: string;
  readonly size: number;
  /** What is below it. */
  readonly source: string;
  readonly volume: string;
}

/** Rejects NOT_FOUND, NO_SPACE, CONFLICT, UNSUPPORTED. */
export async function reserveOver(
  host: LibvirtHost,
  { session, pool: wanted, disks }: Layered,
  signal: AbortSignal,
): Promise<readonly ReservedDisk[]> {
  const pool = await poolOf(host, wanted, signal);
  if (!(await hasFiles(host, pool, signal))) {
    throw new HypervisorError('UNSUPPORTED', `${noFiles(pool.name)}: choose a pool of files`);
  }
  await refresh(host, pool, signal);
  const layers = disks.map(
    (disk): Layer => ({
      ...{ name: disk.name, size: disk.size, source: sourceFor(disk) },
      volume: reservedName(session, disk.name, true),
    }),
  );
  const missing: Layer[] = [];
  for (const it of layers) {
    if (!(await isThere(host, pool, { layer: it, signal }))) missing.push(it);
  }
  const needed = missing.reduce((sum, it) => sum + lengthIn({ ...it, data: 0 }, true), 0);
  await requireSpace(host, pool, { needed, signal });
  for (const layer of missing) await make(host, pool, { layer, signal });
  if (missing.length > 0) await refresh(host, pool, signal);
  const reserved: ReservedDisk[] = [];
  for (const layer of layers) reserved.push(await reservedAs(host, pool, { layer, signal }));
  return reserved;
}

/** What a machine with writes there is defined on. Rejects NOT_FOUND before they are reserved. */
export async function shownOver(
  host: LibvirtHost,
  { session, pool: wanted, disks }: Layered,
  signal: AbortSignal,
): Promise<readonly ShownDisk[]> {
  const pool = await poolOf(host, wanted, signal);
  const shown: ShownDisk[] = [];
  for (const { name } of disks) {
    const volume = reservedName(session, name, true);
    const found = await volumeIn(host, pool, { name: volume, signal });
    if (!found) {
      const message = `the pool ${pool.name} has no volume ${volume}: it is not reserved yet`;
      throw new HypervisorError('NOT_FOUND', message);
    }
    shown.push({ name, source: await pathOf(host, found, signal) });
  }
  return shown;
}

export const noFiles = (pool: string): string =>
  `the volumes of the pool "${pool}" are not files, and only files can have a layer below them`;

interface InPool {
  readonly layer: Layer;
  readonly signal: AbortSignal;
}

/** One that is not whole, and that no machine has, is removed. */
async function isThere(
  host: LibvirtHost,
  pool: LibvirtPool,
  { layer, signal }: InPool,
): Promise<boolean> {
  const volume = await volumeIn(host, pool, { name: layer.volume, signal });
  if (!volume) return false;
  const below = await belowOf(host, volume, signal);
  // Where it has taken all from the layer below, that is gone.
  const used = below !== layer.source && (await definitions(host, signal));
  if (!used || used.some((it) => it.includes(layer.volume))) return true;
  await host.link.call(LIBVIRT_CALLS.deleteVolume, { volume, flags: 0 }, signal);
  return false;
}

async function make(
  host: LibvirtHost,
  pool: LibvirtPool,
  { layer: { volume: name, size, source }, signal }: InPool,
): Promise<void> {
  const disk = { name, size, data: 0 };
  const volume = await makeVolume(host, pool, { name, disk, isFile: true, signal });
  for (const { at, bytes } of emptyQcow2(size, source)) {
    const range = { volume, offset: at, length: bytes.length, flags: 0 };
    await host.link.upload(LIBVIRT_CALLS.uploadVolume, range, { bytes, signal });
  }
}

async function reservedAs(
  host: LibvirtHost,
  pool: LibvirtPool,
  { layer: { name, size, volume: asked }, signal }: InPool,
): Promise<ReservedDisk> {
  const { link } = host;
  const volume = await link.call(LIBVIRT_CALLS.volumeByName, { pool, name: asked }, signal);
  const { capacity } = await link.call(LIBVIRT_CALLS.volumeInfo, { volume }, signal);
  if (capacity === size) return { name, size, source: await pathOf(host, volume, signal) };
  const message = `the volume ${asked} in the pool ${pool.name} has ${capacity} bytes, not ${size}`;
  throw new HypervisorError('CONFLICT', `${message}: remove it, or choose another pool`);
}

/** As the image itself names it. */
async function belowOf(
  { link }: LibvirtHost,
  volume: LibvirtVolume,
  signal: AbortSignal,
): Promise<string | undefined> {
  const xml = await link.call(LIBVIRT_CALLS.volumeXml, { volume, flags: 0 }, signal);
  return textOf(first(first(parseXml(xml, 'volume'), 'backingStore'), 'path'));
}

/** Files that were made or written by another way are not known to a pool before that. */
async function refresh(
  { link }: LibvirtHost,
  pool: LibvirtPool,
  signal: AbortSignal,
): Promise<void> {
  await link.call(LIBVIRT_CALLS.refreshPool, { pool, flags: 0 }, signal);
}
