import { LIBVIRT_ERRORS } from '../../../formats/wire/libvirt.ts';
import {
  LIBVIRT_CALLS,
  LIBVIRT_FLAGS,
  type LibvirtPool,
  type LibvirtVolume,
} from '../../../formats/wire/libvirt-calls.ts';
import { first, parseXml, textOf } from '../../base/xml.ts';
import type { Places, PoolPlace } from '../../base/run-driver.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import { isNumber } from '../libvirt-error.ts';
import type { LibvirtHost } from '../libvirt-host.ts';

/** Pools and networks that are active: a machine can use no others. */
export async function placesOf(host: LibvirtHost, signal: AbortSignal): Promise<Places> {
  const { link } = host;
  const pools: PoolPlace[] = [];
  for (const pool of await activePools(host, signal)) {
    try {
      const { capacity, available } = await link.call(LIBVIRT_CALLS.poolInfo, { pool }, signal);
      const directory = await directoryOf(host, pool, signal);
      pools.push({ name: pool.name, free: available, size: capacity, directory });
    } catch (cause) {
      // A pool may be destroyed after the list was made.
      if (!(cause instanceof HypervisorError) || cause.code !== 'NOT_FOUND') throw cause;
    }
  }
  const wanted = { wanted: 1, flags: LIBVIRT_FLAGS.networks.active };
  const { networks } = await link.call(LIBVIRT_CALLS.networks, wanted, signal);
  return { pools, networks: networks.map(({ name }) => name).sort() };
}

async function directoryOf(
  { link }: LibvirtHost,
  pool: LibvirtPool,
  signal: AbortSignal,
): Promise<string | undefined> {
  const xml = await link.call(LIBVIRT_CALLS.poolXml, { pool, flags: 0 }, signal);
  return textOf(first(first(parseXml(xml, 'pool'), 'target'), 'path'));
}

export async function activePools(
  { link }: LibvirtHost,
  signal: AbortSignal,
): Promise<readonly LibvirtPool[]> {
  const wanted = { wanted: 1, flags: LIBVIRT_FLAGS.pools.active };
  const { pools } = await link.call(LIBVIRT_CALLS.pools, wanted, signal);
  // Not those that are made for a moment, to read and write single files.
  return pools.filter(({ name }) => !name.startsWith('holdfast-'));
}

/** Undefined: the pool has none of that name. */
export async function volumeIn(
  { link }: LibvirtHost,
  pool: LibvirtPool,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<LibvirtVolume | undefined> {
  try {
    return await link.call(LIBVIRT_CALLS.volumeByName, { pool, name }, signal);
  } catch (cause) {
    if (isNumber(cause, LIBVIRT_ERRORS.noVolume)) return undefined;
    throw cause;
  }
}
