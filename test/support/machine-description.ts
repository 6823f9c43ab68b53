import type { MachineDescription } from '../../src/formats/store/catalog/machine.ts';

/** With all fields. */
export const MACHINE: MachineDescription = {
  from: {
    kind: 'libvirt',
    hypervisor: 'kvm1',
    product: 'QEMU 7.2.22, libvirt 9.0.0',
    id: '5f1c2b7e-0001-4000-8000-0123456789ab',
    name: 'web1',
    folder: 'Linux/Büro',
  },
  arch: 'x86_64',
  firmware: {
    kind: 'uefi',
    secureBoot: true,
    varsFile: 'nvram.fd',
    varsTemplate: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd',
  },
  machineType: 'pc-q35-7.2',
  cpu: { count: 4, sockets: 1, cores: 2, threads: 2, model: 'host-passthrough', maxCount: 8 },
  memory: { bytes: 4 * 2 ** 30, minBytes: 2 ** 30, maxBytes: 8 * 2 ** 30 },
  ids: {
    uuid: '5f1c2b7e-0001-4000-8000-0123456789ab',
    smbiosUuid: '5f1c2b7e-0002-4000-8000-0123456789ab',
    serial: 'VMware-42',
    generationId: '5f1c2b7e-0003-4000-8000-0123456789ab',
  },
  clock: 'localtime',
  disks: [
    {
      name: 'vda',
      bus: 'scsi',
      controller: { model: 'virtio-scsi', index: 0, unit: 1 },
      size: 2 ** 32,
      serial: 'S1',
      wwn: '5000c50015ea71ac',
      sectorBytes: 4096,
      source: '/var/lib/libvirt/images/web1.qcow2',
    },
    {
      name: 'sda',
      bus: 'sata',
      sectorBytes: 512,
      excluded: { reason: 'removable', detail: 'a CD-ROM drive' },
    },
  ],
  nics: [
    {
      mac: '52:54:00:12:34:56',
      model: 'virtio',
      network: { kind: 'bridge', name: 'br0', vlan: 12 },
      connected: true,
    },
    {
      mac: '52:54:00:12:34:57',
      model: 'e1000e',
      network: { kind: 'network', name: 'default' },
      connected: false,
    },
  ],
  tpm: { version: '2.0', stateFile: 'tpm2-00.permall' },
  boot: ['disk:vda', 'nic:52:54:00:12:34:56', 'cdrom'],
  guest: { os: 'Debian GNU/Linux 12', agent: true },
  autostart: true,
  native: { format: 'libvirt-xml', file: 'definition.xml' },
};
