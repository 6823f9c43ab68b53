import { join } from 'node:path/posix';

/* Where the state of an emulated TPM lies: swtpm(8), "--tpmstate"; libvirt's src/qemu/qemu_tpm.c. */

/** The name of the file in the directory that swtpm is given. */
export function tpmStateName(version: string): string {
  return version === '1.2' ? 'tpm-00.permall' : 'tpm2-00.permall';
}

/** The file of a machine of libvirt. */
export function tpmStatePath(uuid: string, version: string): string {
  const directory = version === '1.2' ? 'tpm1.2' : 'tpm2';
  return join('/var/lib/libvirt/swtpm', uuid, directory, tpmStateName(version));
}
