import type { DescribedDisk } from '../../formats/store/catalog/machine.ts';

/*
 * The serial number and the World Wide Name of a disk. Guests that mount by them (/dev/disk/by-id, LVM, multipath) do
 * not start without. QEMU takes those of its own kind: for others the guest would not see what it saw before either.
 */

export interface DiskIds {
  readonly serial: string | undefined;
  /** 16 hexadecimal digits. */
  readonly wwn: string | undefined;
}

/** As libvirt takes them (QEMU_SERIAL_PARAM_ACCEPTED_CHARS); no bus shows more than 36 (SPC-4, VPD page 80h). */
const SERIAL = /^[A-Za-z0-9_ .+-]{1,36}$/;
const WWN = /^(?:0x)?([0-9a-f]{16})$/i;
/** Buses whose disks have one in QEMU. */
const WITH_WWN = new Set(['scsi', 'sata', 'ide']);

/** Those that QEMU gives a disk on this bus, by libvirt's word for it. */
export function diskIds(
  disk: Pick<DescribedDisk, 'serial' | 'wwn'> | undefined,
  bus: string,
): DiskIds {
  const { serial, wwn } = disk ?? {};
  return {
    serial: serial !== undefined && SERIAL.test(serial) ? serial : undefined,
    wwn: WITH_WWN.has(bus) ? WWN.exec(wwn ?? '')?.[1] : undefined,
  };
}
