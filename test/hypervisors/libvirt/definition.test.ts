import { deepEqual, doesNotMatch, match, throws } from 'node:assert/strict';
import { test } from 'tap';
import type { MachineDescription } from '../../../src/formats/store/catalog/machine.ts';
import type { RunPlan } from '../../../src/hypervisors/base/run-driver.ts';
import { writeXml, type XmlElement } from '../../../src/hypervisors/base/xml.ts';
import { definitionOf } from '../../../src/hypervisors/libvirt/run/definition.ts';
import type { HostFit } from '../../../src/hypervisors/libvirt/run/host-fit.ts';
import { markIn } from '../../../src/hypervisors/libvirt/run/mark.ts';

const LOADER = '/usr/share/OVMF/OVMF_CODE_4M.fd';
const FIT: HostFit = {
  ...{ type: 'kvm', hasUefi: true, hasSecureBoot: true, hasTpm: true },
  loaders: [LOADER],
};
const MAC = '52:54:00:AA:00:01';

const MACHINE: MachineDescription = {
  from: { kind: 'vsphere', hypervisor: 'esx1', product: 'ESXi', id: 'vm-7', name: 'web1' },
  ...{
    arch: 'x86_64',
    firmware: { kind: 'bios' },
    cpu: { count: 4, sockets: 2, cores: 2, threads: 1 },
  },
  ...{ memory: { bytes: 2 ** 30 }, ids: { uuid: 'u' }, clock: 'localtime', machineType: 'vmx-19' },
  disks: [
    {
      ...{ name: 'scsi0:0', bus: 'scsi', size: 1024, sectorBytes: 512, serial: 'S1' },
      wwn: '5000c50015ea71ac',
    },
    { name: 'sda', bus: 'sata', size: 1024, sectorBytes: 4096 },
  ],
  nics: [{ mac: MAC, model: 'vmxnet3', network: { kind: 'x', name: 'y' }, connected: true }],
  ...{ boot: ['disk:sda', 'disk:scsi0:0'], autostart: true },
  native: { format: 'vmx', file: 'web1.vmx' },
};

const PLAN: RunPlan = {
  ...{ session: 's1', name: 'web1', uuid: '0b2ff0e5-3a3c-4c5e-9d6d-000000000001' },
  ...{ machine: MACHINE, files: [], disks: [], networks: {}, pool: undefined, autostart: true },
  writes: 'here',
};
const SHOWN = [
  { name: 'scsi0:0', source: 'nbd://10.0.0.5:10810/s1-a' },
  { name: 'sda', source: 'nbd+unix:///s1-b?socket=/run/nbd.sock' },
];

const NATIVE = `<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>old</name><uuid>5e1fc4ec-0000-4000-8000-000000000002</uuid><genid>1</genid>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo='x'/>
    <holdfast-run:made xmlns:holdfast-run='y' session='other'/>
  </metadata>
  <memory unit='KiB'>1048576</memory><vcpu>2</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <loader readonly='yes' type='pflash'>${LOADER}</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/var/lib/libvirt/qemu/nvram/old_VARS.fd</nvram></os>
  <devices>
    <emulator>/opt/qemu</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' error_policy='report'/>
      <source file='/images/a.qcow2' index='2'/><backingStore type='file'><source file='/images/base'/></backingStore>
      <target dev='vda' bus='virtio'/><serial>A1</serial><boot order='1'/>
      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/></disk>
    <disk type='block' device='disk'><source dev='/dev/sdx'/><target dev='vdb' bus='virtio'/><shareable/></disk>
    <disk type='file' device='cdrom'><source file='/iso/x.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
    <interface type='bridge'><mac address='52:54:00:aa:00:01'/><source bridge='br0'/><target dev='vnet3'/>
      <vlan><tag id='5'/></vlan><model type='virtio'/></interface>
    <interface type='network'><mac address='52:54:00:aa:00:02'/><source network='dmz'/><link state='up'/></interface>
    <hostdev mode='subsystem' type='pci'><source/></hostdev>
    <tpm model='tpm-tis'><backend type='passthrough'/></tpm>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
  <qemu:commandline><qemu:arg value='-s'/></qemu:commandline>
</domain>`;

const OWN: RunPlan = {
  ...PLAN,
  machine: {
    ...MACHINE,
    firmware: { kind: 'uefi', secureBoot: false },
    native: { format: 'libvirt-xml', file: 'machine.xml' },
  },
  files: [{ name: 'machine.xml', kind: 'definition', bytes: Buffer.from(NATIVE) }],
  networks: { [MAC]: 'lan' },
};
const ONE = [{ name: 'vda', source: 'nbd://[fe80::1]/s1-vda' }];

/** The text without the spaces between elements. */
function written(defined: XmlElement): string {
  return writeXml(defined).replaceAll(/&#10; */g, '');
}

test('of its own definition all stays that the host can have', async () => {
  const defined = definitionOf({ plan: OWN, shown: ONE, fit: FIT });
  const xml = written(defined);
  match(xml, /^<domain type="kvm" xmlns:qemu="[^"]*">/);
  match(xml, /<name>web1<\/name><uuid>0b2ff0e5-3a3c-4c5e-9d6d-000000000001<\/uuid><genid\/>/);
  match(xml, /<libosinfo:libosinfo xmlns:libosinfo="x"\/>/);
  match(
    xml,
    /<driver name="qemu" type="raw" cache="none" error_policy="stop" rerror_policy="stop"\/>/,
  );
  match(
    xml,
    /<source protocol="nbd" name="s1-vda"><host name="fe80::1" port="10809"\/><reconnect delay="10"\/><\/source>/,
  );
  match(xml, /<serial>A1<\/serial><boot order="1"\/>\s*<address type="pci"/);
  match(xml, /<rng model="virtio">/);
  match(xml, /<qemu:arg value="-s"\/>/);
  match(xml, /<backend type="emulator" version="2.0"\/>/);
  doesNotMatch(xml, /emulator>|hostdev|passthrough|images|iso|sdx|session="other"/);
  deepEqual(markIn(defined), {
    ...{ kind: 'made', session: 's1', isMoving: false, pulled: undefined, writes: 'here' },
    disks: [
      {
        ...{ name: 'vda', target: 'vda', served: 's1-vda' },
        ...{ errorPolicy: 'report', readErrorPolicy: undefined },
      },
    ],
  });
});

test('a card goes to the network that was chosen for it, or nowhere', async () => {
  const xml = written(definitionOf({ plan: OWN, shown: ONE, fit: FIT }));
  match(
    xml,
    /<interface type="network"><source network="lan"\/><mac address="52:54:00:aa:00:01"\/>\s*<model type="virtio"\/>/,
  );
  match(
    xml,
    /<interface type="ethernet"><mac address="52:54:00:aa:00:02"\/><link state="down"\/><\/interface>/,
  );
  doesNotMatch(xml, /br0|dmz|vnet3|vlan/);
  const bridged = { ...OWN, networks: { [MAC]: 'bridge:br1' } };
  match(
    written(definitionOf({ plan: bridged, shown: ONE, fit: FIT })),
    /<interface type="bridge"><source bridge="br1"\/>/,
  );
});

test('firmware is that of the host, with variables of the machine’s own', async () => {
  const variables = '/var/lib/libvirt/qemu/nvram/holdfast-s1_VARS.fd';
  const kept = written(definitionOf({ plan: OWN, shown: ONE, fit: FIT }));
  match(
    kept,
    /<os><type arch="x86_64" machine="pc-q35-7.2">hvm<\/type>\s*<loader readonly="yes" type="pflash">/,
  );
  match(kept, new RegExp(`<nvram template="/usr/share/OVMF/OVMF_VARS_4M.fd">${variables}</nvram>`));
  const other = written(definitionOf({ plan: OWN, shown: ONE, fit: { ...FIT, loaders: [] } }));
  match(other, /<os firmware="efi">/);
  match(other, /<firmware><feature enabled="no" name="secure-boot"\/><\/firmware>/);
  match(other, new RegExp(`<nvram>${variables}</nvram>`));
  doesNotMatch(other, /<loader/);
});

test('a machine of another hypervisor gets what QEMU has', async () => {
  const xml = written(definitionOf({ plan: PLAN, shown: SHOWN, fit: { ...FIT, type: 'qemu' } }));
  match(xml, /^<domain type="qemu">/);
  match(xml, /<memory unit="KiB">1048576<\/memory><vcpu>4<\/vcpu>/);
  match(xml, /<topology sockets="2" cores="2" threads="1"\/>/);
  match(xml, /<os><type arch="x86_64">hvm<\/type><\/os>/);
  match(xml, /<clock offset="localtime"\/>/);
  match(
    xml,
    /<target dev="sda" bus="scsi"\/><boot order="2"\/><serial>S1<\/serial><wwn>5000c50015ea71ac</,
  );
  match(xml, /<host transport="unix" socket="\/run\/nbd.sock"\/>/);
  match(xml, /<target dev="sdb" bus="sata"\/><boot order="1"\/><blockio logical_block_size="4096"/);
  match(xml, /<model type="vmxnet3"\/><link state="down"\/>/);
  const mark = markIn(definitionOf({ plan: PLAN, shown: SHOWN, fit: FIT }));
  deepEqual(mark?.kind === 'made' && mark.disks.map(({ name, target }) => [name, target]), [
    ['scsi0:0', 'sda'],
    ['sda', 'sdb'],
  ]);
});

test('a definition that lacks a disk of the recovery point is refused', async () => {
  const shown = [...ONE, { name: 'vdz', source: 'nbd://h/x' }];
  throws(() => definitionOf({ plan: OWN, shown, fit: FIT }), { code: 'CONFLICT', message: /vdz/ });
});
