import { basename, dirname } from 'node:path/posix';
import { fileLengthMax } from '../../formats/store/catalog/machine.ts';
import { LIBVIRT_CALLS } from '../../formats/wire/libvirt-calls.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { Link } from './link.ts';
import type { WithPool } from './pools.ts';

/** Files of the host that belong to machines: libvirt's API of machines does not give them. */
export interface HostFiles {
  /** Rejects HypervisorError: DENIED, NOT_FOUND. */
  read(path: string, reading: Reading): Promise<Uint8Array>;
}

interface Reading {
  /** The machine's UUID. */
  readonly machine: string;
  readonly signal: AbortSignal;
}

const LENGTH_MAX = fileLengthMax('firmware-vars');

/** The host is this machine. */
export function localFiles(files: Pick<FileSystem, 'readFile'>): HostFiles {
  return {
    async read(path) {
      try {
        return await files.readFile(path, LENGTH_MAX);
      } catch (cause) {
        if (!(cause instanceof SystemError)) throw cause;
        const code = cause.code === 'NOT_FOUND' || cause.code === 'DENIED' ? cause.code : 'FAILED';
        throw new HypervisorError(code, cause.message, { cause });
      }
    },
  };
}

/** Through libvirt, wherever it is. */
export function pooledFiles(link: Link, withPool: WithPool): HostFiles {
  return {
    async read(path, { machine, signal }) {
      try {
        return await withPool({ directory: dirname(path), machine, signal }, async (pool) => {
          const name = basename(path);
          const volume = await link.call(LIBVIRT_CALLS.volumeByName, { pool, name }, signal);
          const whole = { volume, offset: 0, length: 0, flags: 0 };
          return link.download(LIBVIRT_CALLS.downloadVolume, whole, {
            ...{ lengthMax: LENGTH_MAX, signal },
          });
        });
      } catch (cause) {
        if (!(cause instanceof HypervisorError)) throw cause;
        const { code, message, native } = cause;
        const words = `libvirt does not give ${path}: ${message}`;
        throw new HypervisorError(code, words, { cause, native });
      }
    },
  };
}

/** What one may not read, the other does. */
export function eitherFiles(files: HostFiles, others: HostFiles): HostFiles {
  return {
    async read(path, reading) {
      try {
        return await files.read(path, reading);
      } catch (cause) {
        if (!(cause instanceof HypervisorError) || cause.code !== 'DENIED') throw cause;
        return others.read(path, reading);
      }
    },
  };
}

/** Where swtpm keeps the state of a machine's TPM (virDomainTPMDef; swtpm(8), "TPM state"). */
export function tpmStatePath(uuid: string, version: '1.2' | '2.0'): string {
  const [directory, file] =
    version === '2.0' ? ['tpm2', 'tpm2-00.permall'] : ['tpm1.2', 'tpm-00.permall'];
  return `/var/lib/libvirt/swtpm/${uuid}/${directory}/${file}`;
}
