import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type { ReservedDisk, RunPlan } from '../../../src/hypervisors/base/run-driver.ts';
import type { Link } from './describe.ts';
import { isUsed, makeVolume } from './host-run.ts';

interface Reserving extends Pick<RunPlan, 'session' | 'pool'> {
  readonly disks: readonly { readonly name: string; readonly size: number }[];
}

export async function reserve(
  { host, wire }: Link,
  { pool, disks, session }: Reserving,
  signal: AbortSignal,
): Promise<readonly ReservedDisk[]> {
  if (pool === undefined) return [];
  const reserved: ReservedDisk[] = [];
  for (const { name, size } of disks) {
    const source = `${pool}/${session}-${name}`;
    const found = await wire.call('look for volume', () => host.volumes.get(source), signal);
    if (found && (found.session !== session || found.size !== size)) {
      throw new HypervisorError('CONFLICT', `volume ${source} is there, and not what was reserved`);
    }
    const make = () => makeVolume(host, source, { pool, size, session });
    if (!found) await wire.call('make volume', make, signal);
    reserved.push({ name, size, source });
  }
  return reserved;
}

/** The reserved disks of a plan whose guest writes there. Rejects NOT_FOUND if one of them was not reserved. */
export async function reservedOf(
  { host, wire }: Link,
  { pool, disks, session }: Reserving,
  signal: AbortSignal,
): Promise<readonly { readonly name: string; readonly source: string }[]> {
  return wire.call(
    'look for volumes',
    () =>
      disks.map(({ name }) => {
        const source = `${pool}/${session}-${name}`;
        if (host.volumes.has(source)) return { name, source };
        throw new HypervisorError('NOT_FOUND', `volume ${source} is not reserved yet`);
      }),
    signal,
  );
}

export async function release(
  { host, wire }: Link,
  session: string,
  signal: AbortSignal,
): Promise<void> {
  const unused = await wire.call(
    'list volumes',
    () =>
      [...host.volumes].filter(([source, it]) => it.session === session && !isUsed(host, source)),
    signal,
  );
  for (const [source] of unused) {
    await wire.call('remove volume', () => void host.volumes.delete(source), signal);
  }
}
