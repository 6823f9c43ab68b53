import { LIBVIRT_ERRORS } from '../../../formats/wire/libvirt.ts';
import { qcow2TablesLength } from '../../../formats/image/qcow2-image.ts';
import {
  LIBVIRT_CALLS,
  LIBVIRT_FLAGS,
  type LibvirtPool,
  type LibvirtVolume,
} from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { DisksPlan, RestoredDisk } from '../../base/restore-driver.ts';
import type { ReservedDisk } from '../../base/run-driver.ts';
import { attribute, element, first, parseXml, textOf, writeXml } from '../../base/xml.ts';
import { isNumber } from '../libvirt-error.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import { activePools, volumeIn } from './places.ts';
import { isReservedFor, reservedName } from './reserved-names.ts';

/* Disks of the host that a session's machine can move to: volumes, with the session in their name. */

/** Pools of files; volumes of others are block devices. */
const FILE_POOLS = /^(dir|fs|netfs|gluster|vstorage)$/;

/** Rejects NOT_FOUND, NO_SPACE, CONFLICT. */
export async function reserve(
  host: LibvirtHost,
  plan: DisksPlan,
  signal: AbortSignal,
): Promise<readonly ReservedDisk[]> {
  const { link } = host;
  const pool = await poolOf(host, plan.pool, signal);
  const isFile = await hasFiles(host, pool, signal);
  // Files that were left there by another connection are not known to a pool before that.
  await link.call(LIBVIRT_CALLS.refreshPool, { pool, flags: 0 }, signal);
  const disks = await reservations(host, pool, { plan, isFile, signal });
  await requireSpace(host, pool, { needed: neededFor(disks), signal });
  const reserved: ReservedDisk[] = [];
  for (const { disk, name, volume } of disks) {
    const made = volume ?? (await makeVolume(host, pool, { name, disk, isFile, signal }));
    const { capacity } = await link.call(LIBVIRT_CALLS.volumeInfo, { volume: made }, signal);
    if (capacity !== disk.size) {
      const sizes = `${capacity} bytes, not ${disk.size}`;
      const message = `the volume ${name} in the pool ${pool.name} has ${sizes}`;
      throw new HypervisorError('CONFLICT', `${message}: remove it, or choose another pool`);
    }
    const source = await pathOf(host, made, signal);
    reserved.push({ name: disk.name, size: disk.size, source });
  }
  return reserved;
}

/** A volume's key is its path only in pools of files. */
export async function pathOf(
  { link }: LibvirtHost,
  volume: LibvirtVolume,
  signal: AbortSignal,
): Promise<string> {
  const xml = await link.call(LIBVIRT_CALLS.volumeXml, { volume, flags: 0 }, signal);
  const path = textOf(first(first(parseXml(xml, 'volume'), 'target'), 'path'));
  if (path !== undefined) return path;
  throw new HypervisorError('FAILED', `libvirt does not say where the volume ${volume.name} is`);
}

/** Whether its volumes are files. */
export async function hasFiles(
  { link }: LibvirtHost,
  pool: LibvirtPool,
  signal: AbortSignal,
): Promise<boolean> {
  const xml = await link.call(LIBVIRT_CALLS.poolXml, { pool, flags: 0 }, signal);
  return FILE_POOLS.test(attribute(parseXml(xml, 'pool'), 'type') ?? '');
}

interface Reservation {
  readonly disk: RestoredDisk;
  readonly name: string;
  /** Undefined: it is not made yet. */
  readonly volume: LibvirtVolume | undefined;
  /** What it still takes of the pool's space, in bytes. */
  readonly needed: number;
}

async function reservations(
  host: LibvirtHost,
  pool: LibvirtPool,
  {
    plan: { session, disks },
    isFile,
    signal,
  }: { readonly plan: DisksPlan; readonly isFile: boolean; readonly signal: AbortSignal },
): Promise<readonly Reservation[]> {
  const { link } = host;
  return Promise.all(
    disks.map(async (disk) => {
      const name = reservedName(session, disk.name, isFile);
      const volume = await volumeIn(host, pool, { name, signal });
      const info = volume && (await link.call(LIBVIRT_CALLS.volumeInfo, { volume }, signal));
      const needed = Math.max(0, lengthIn(disk, isFile) - (info?.allocation ?? 0));
      return { disk, name, volume, needed };
    }),
  );
}

/** Files grow as they are written, and have tables beside their data; other volumes take their space when made. */
export function lengthIn({ data, size }: RestoredDisk, isFile: boolean): number {
  return isFile ? data + qcow2TablesLength(size, data) : size;
}

function neededFor(disks: readonly Reservation[]): number {
  return disks.reduce((sum, { needed }) => sum + needed, 0);
}

/** How much these disks still need of a pool's space, in bytes: what was reserved for them is theirs. */
export async function neededIn(
  host: LibvirtHost,
  plan: DisksPlan,
  signal: AbortSignal,
): Promise<number> {
  const pool = await poolOf(host, plan.pool, signal);
  const isFile = await hasFiles(host, pool, signal);
  return neededFor(await reservations(host, pool, { plan, isFile, signal }));
}

/** Disks of sessions, which a copy may fill. */
export function fullDisks(disks: readonly Pick<RestoredDisk, 'name' | 'size'>[]) {
  return disks.map(({ name, size }) => ({ name, size, data: size }));
}

/** Rejects NOT_FOUND. */
export async function poolOf(
  { link, name: host }: LibvirtHost,
  name: string,
  signal: AbortSignal,
): Promise<LibvirtPool> {
  try {
    return await link.call(LIBVIRT_CALLS.poolByName, { name }, signal);
  } catch (cause) {
    if (!isNumber(cause, LIBVIRT_ERRORS.noPool)) throw cause;
    throw new HypervisorError('NOT_FOUND', `there is no pool "${name}" on ${host}`, {
      cause,
      native: cause.native,
    });
  }
}

/** Images of files take no space when they are made: what they will need is compared before. Rejects NO_SPACE. */
export async function requireSpace(
  { link }: LibvirtHost,
  pool: LibvirtPool,
  { needed, signal }: { readonly needed: number; readonly signal: AbortSignal },
): Promise<void> {
  if (needed === 0) return;
  const { available } = await link.call(LIBVIRT_CALLS.poolInfo, { pool }, signal);
  if (needed <= available) return;
  const message = `the pool ${pool.name} has ${available} bytes free, and ${needed} are needed`;
  throw new HypervisorError('NO_SPACE', `${message}: choose another one, or make space in it`);
}

/** An empty one: a file is a qcow2 image. */
export async function makeVolume(
  { link }: LibvirtHost,
  pool: LibvirtPool,
  {
    name,
    disk,
    isFile,
    signal,
  }: {
    readonly name: string;
    readonly disk: RestoredDisk;
    readonly isFile: boolean;
    readonly signal: AbortSignal;
  },
): Promise<LibvirtVolume> {
  const xml = writeXml(
    element(
      'volume',
      {},
      element('name', {}, name),
      element('capacity', { unit: 'bytes' }, String(disk.size)),
      ...(isFile
        ? [
            element('allocation', { unit: 'bytes' }, '0'),
            // Changes of it can be counted: the next backups are incremental. By itself libvirt makes images of
            // version 2 (0.10), which hold no bitmaps.
            element(
              'target',
              {},
              element('format', { type: 'qcow2' }),
              element('compat', {}, '1.1'),
            ),
          ]
        : []),
    ),
  );
  return link.call(LIBVIRT_CALLS.createVolume, { pool, xml, flags: 0 }, signal);
}

/** Removes of them those that no machine has in its definition, or copies to. */
export async function release(
  host: LibvirtHost,
  session: string,
  signal: AbortSignal,
): Promise<void> {
  const { link } = host;
  const found: LibvirtVolume[] = [];
  for (const pool of await activePools(host, signal)) {
    const asked = { pool, wanted: 1, flags: 0 };
    const { volumes } = await link.call(LIBVIRT_CALLS.poolVolumes, asked, signal);
    found.push(...volumes.filter(({ name }) => isReservedFor(session, name)));
  }
  if (found.length === 0) return;
  const used = await definitions(host, signal);
  for (const volume of found) {
    if (used.some((it) => it.includes(volume.name))) continue;
    try {
      await link.call(LIBVIRT_CALLS.deleteVolume, { volume, flags: 0 }, signal);
    } catch (cause) {
      if (!isNumber(cause, LIBVIRT_ERRORS.noVolume)) throw cause;
    }
  }
}

/** Definitions of all machines, as they run and as they start the next time. */
export async function definitions(
  { link }: LibvirtHost,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { domains } = await link.call(LIBVIRT_CALLS.listDomains, { wanted: 1, flags: 0 }, signal);
  const { inactive } = LIBVIRT_FLAGS.domainXml;
  const texts = await Promise.all(
    domains.flatMap((domain) =>
      (domain.id === -1 ? [0] : [0, inactive]).map(async (flags) => {
        try {
          return await link.call(LIBVIRT_CALLS.domainXml, { domain, flags }, signal);
        } catch (cause) {
          if (isNumber(cause, LIBVIRT_ERRORS.noDomain)) return '';
          throw cause;
        }
      }),
    ),
  );
  return texts;
}
