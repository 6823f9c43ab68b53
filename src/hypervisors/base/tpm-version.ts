import type { MachineDescription } from '../../formats/store/catalog/machine.ts';

/** The version that QEMU and libvirt have, of any that a machine may have had. */
export function tpmVersion({ version }: NonNullable<MachineDescription['tpm']>): '1.2' | '2.0' {
  return version === '1.2' ? '1.2' : '2.0';
}
