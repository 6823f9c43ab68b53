import { basename, dirname } from 'node:path/posix';
import { LIBVIRT_CALLS, type LibvirtVolume } from '../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { Domain, DomainDisk } from './domain.ts';
import type { LibvirtHost } from './libvirt-host.ts';
import { checkpointName } from './tracking.ts';

/*
 * Files of the host for what a guest overwrites during a backup. libvirt makes and removes them, unless QEMU or the
 * host ends in the middle: then they stay, as large as what was overwritten.
 */

type Scratching = Pick<LibvirtHost, 'owner' | 'scratch'>;

const END = '.scratch';

/** Beside the image, unless another place is named. Throws UNSUPPORTED. */
export function scratchFor(
  { scratch }: Scratching,
  { name, type, path }: DomainDisk,
  { mark, machine }: { readonly mark: string; readonly machine: string },
): string {
  if (scratch !== undefined) return `${scratch}/${machine}.${mark}-${name}${END}`;
  if (type === 'file' && path !== undefined) return `${path}.${mark}${END}`;
  throw new HypervisorError(
    'UNSUPPORTED',
    `disk ${name} is not a file, so the hypervisor has no place beside it for what the guest overwrites during the ` +
      'backup: name a directory on it ("holdfast hypervisor change NAME --scratch DIR")',
  );
}

/**
 * Removes those that earlier backups of ours have left for a machine. Returns in words what it did and could not do.
 * A directory that cannot be looked at is left out: its disks say what is wrong when they are read.
 */
export async function removeLeftScratch(
  host: LibvirtHost,
  { uuid, disks }: Pick<Domain, 'uuid' | 'disks'>,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { link, scratch } = host;
  const begins = scratch === undefined ? imagesOf(disks) : new Map([[scratch, [uuid]]]);
  const done: string[] = [];
  for (const [directory, names] of begins) {
    try {
      await host.withPool({ directory, machine: uuid, signal }, async (pool) => {
        const asked = { pool, wanted: 1, flags: 0 };
        const { volumes } = await link.call(LIBVIRT_CALLS.poolVolumes, asked, signal);
        for (const volume of volumes.filter(({ name }) => isLeft(host, name, names))) {
          done.push(await remove(host, volume, signal));
        }
      });
    } catch (cause) {
      if (!(cause instanceof HypervisorError)) throw cause;
    }
  }
  return done;
}

async function remove(
  { link }: LibvirtHost,
  volume: LibvirtVolume,
  signal: AbortSignal,
): Promise<string> {
  const what = `${volume.key}, which an unfinished backup had left,`;
  try {
    await link.call(LIBVIRT_CALLS.deleteVolume, { volume, flags: 0 }, signal);
    return `${what} was removed`;
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    return `${what} could not be removed: ${cause.message}. Remove it on the hypervisor`;
  }
}

/** How names of such files begin beside images, by directory. */
function imagesOf(disks: readonly DomainDisk[]): ReadonlyMap<string, readonly string[]> {
  const paths = disks.flatMap(({ type, path }) =>
    type === 'file' && path !== undefined ? [path] : [],
  );
  const directories = [...new Set(paths.map((it) => dirname(it)))];
  return new Map(
    directories.map((directory) => [
      directory,
      paths.filter((it) => dirname(it) === directory).map((it) => basename(it)),
    ]),
  );
}

function isLeft(host: Scratching, name: string, begins: readonly string[]): boolean {
  return (
    name.endsWith(END) && begins.some((it) => name.startsWith(`${it}.${checkpointName(host, '')}`))
  );
}
