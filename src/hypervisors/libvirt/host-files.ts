import { SystemError } from '../../sys/base/system-error.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';

/** Files of the host that belong to machines: libvirt's API does not give them. */
export interface HostFiles {
  /** Rejects HypervisorError: DENIED, NOT_FOUND, UNSUPPORTED if no way leads to files of that host. */
  read(path: string, signal: AbortSignal): Promise<Uint8Array>;
}

/** Variables of UEFI take up to 4 MiB, the state of a TPM some KiB. */
const LENGTH_MAX = 16 * 1024 * 1024;

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

/** The host is another one. */
export function noFiles(): HostFiles {
  return {
    async read(path) {
      throw new HypervisorError(
        'UNSUPPORTED',
        `${path} lies on another host, to whose files no way leads`,
      );
    },
  };
}

/** Where swtpm keeps the state of a machine's TPM (virDomainTPMDef; swtpm(8), "TPM state"). */
export function tpmStatePath(uuid: string, version: '1.2' | '2.0'): string {
  const [directory, file] =
    version === '2.0' ? ['tpm2', 'tpm2-00.permall'] : ['tpm1.2', 'tpm-00.permall'];
  return `/var/lib/libvirt/swtpm/${uuid}/${directory}/${file}`;
}
