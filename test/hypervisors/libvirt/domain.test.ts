import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'tap';
import { chooseDisks } from '../../../src/hypervisors/base/chosen-disks.ts';
import { readDomain } from '../../../src/hypervisors/libvirt/domain.ts';

const DISKS = `
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/web1.qcow2'/>
  <blockio logical_block_size='4096'/><target dev='vda' bus='virtio'/><serial>A1</serial><boot order='2'/></disk>
<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/data'/>
  <target dev='sda' bus='scsi'/><address type='drive' controller='1' bus='0' target='0' unit='3'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw'/>
  <source protocol='rbd' name='pool/image'><host name='ceph1'/></source><target dev='vdb' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>
<disk type='block' device='lun'><source dev='/dev/sdc'/><target dev='sdc' bus='scsi'/></disk>
<disk type='file' device='disk'><source file='/images/shared'/><target dev='vdc' bus='virtio'/><shareable/></disk>`;

const DOMAIN = `<domain type='kvm' id='4'>
<name>web1</name><uuid>ee2440e4-fec4-4628-a503-01889a43b875</uuid><genid>11111111-2222-3333-4444-555555555555</genid>
<metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>
  <libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo></metadata>
<memory unit='GiB'>4</memory><currentMemory unit='KiB'>2097152</currentMemory>
<vcpu placement='static' current='2'>8</vcpu>
<cpu mode='host-model'><topology sockets='1' dies='1' cores='4' threads='2'/></cpu>
<os firmware='efi'><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
  <loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.ms.fd</loader>
  <nvram template='/usr/share/OVMF/OVMF_VARS_4M.ms.fd'>/var/lib/libvirt/qemu/nvram/web1_VARS.fd</nvram></os>
<clock offset='localtime'/>
<devices>${DISKS}
<interface type='bridge'><mac address='52:54:00:12:34:56'/><source bridge='br0'/><vlan><tag id='7'/></vlan>
  <model type='virtio'/><link state='down'/><boot order='1'/></interface>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
</devices></domain>`;

test('a domain is described in words that every hypervisor has', async () => {
  const { description, agent, nvram, tpm } = readDomain(DOMAIN);
  const { cpu, memory, ids, firmware, clock, nics, boot, machineType, guest } = description;
  deepEqual(
    [cpu.count, cpu.maxCount, cpu.cores, cpu.threads, cpu.model],
    [2, 8, 4, 2, 'host-model'],
  );
  deepEqual(memory, { bytes: 4 * 2 ** 30, minBytes: 2 * 2 ** 30 });
  equal(ids.generationId, '11111111-2222-3333-4444-555555555555');
  deepEqual(firmware, {
    ...{ kind: 'uefi', secureBoot: true },
    varsTemplate: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd',
  });
  deepEqual([clock, machineType, agent], ['localtime', 'pc-q35-7.2', 'connected']);
  equal(nvram, '/var/lib/libvirt/qemu/nvram/web1_VARS.fd');
  equal(tpm?.version, '2.0');
  const network = { kind: 'bridge', name: 'br0', vlan: 7 };
  deepEqual(nics, [{ mac: '52:54:00:12:34:56', model: 'virtio', network, connected: false }]);
  deepEqual(boot, ['nic:52:54:00:12:34:56', 'disk:vda']);
  deepEqual(guest, { os: 'http://debian.org/debian/12', agent: true });
});

test('each disk is known, and why one cannot be read', async () => {
  const { disks } = readDomain(DOMAIN);
  deepEqual(
    disks.map(({ name, format, path, described: { bus, sectorBytes, source, excluded } }) => [
      ...[name, format, path, bus, sectorBytes, source],
      excluded?.reason,
    ]),
    [
      ['vda', 'qcow2', '/images/web1.qcow2', 'virtio', 4096, '/images/web1.qcow2', undefined],
      ['sda', 'raw', '/dev/vg/data', 'scsi', 512, '/dev/vg/data', undefined],
      ['vdb', 'raw', undefined, 'virtio', 512, 'rbd://ceph1/pool/image', undefined],
      ['sdb', 'raw', undefined, 'sata', 512, undefined, 'removable'],
      ['sdc', 'raw', '/dev/sdc', 'scsi', 512, '/dev/sdc', 'pass-through'],
      ['vdc', 'raw', '/images/shared', 'virtio', 512, '/images/shared', 'shared'],
    ],
  );
  deepEqual(disks[1]!.described.controller, { index: 1, unit: 3 });
});

test('disks are chosen by name, and a name that no disk has is refused', async () => {
  const domain = readDomain(DOMAIN);
  const wish = { consistency: 'crash', fallBack: true } as const;
  const namesOf = (only: readonly string[] | undefined, exclude: readonly string[]) =>
    chooseDisks(domain, { ...wish, only, exclude }).read.map(({ name }) => name);
  deepEqual(namesOf(undefined, []), ['vda', 'sda', 'vdb']);
  deepEqual(namesOf(['vda', 'sdc'], []), ['vda']);
  deepEqual(namesOf(undefined, ['sda']), ['vda', 'vdb']);
  throws(() => namesOf(['vdz'], []), { code: 'NOT_FOUND', message: /no disk "vdz": it has vda, / });
  throws(() => namesOf(['sdb'], []), { code: 'UNSUPPORTED', message: /optical drive/ });
});

test('a machine with as little as libvirt allows', async () => {
  const { description, agent, disks } = readDomain(
    '<domain><name>a</name><uuid>u</uuid><memory>1024</memory><devices/></domain>',
  );
  deepEqual([description.cpu.count, description.memory.bytes], [1, 2 ** 20]);
  deepEqual(description.firmware, { kind: 'bios' });
  deepEqual([agent, disks, description.boot], ['none', [], []]);
  throws(() => readDomain('<domain><name>a</name></domain>'), { code: 'FAILED' });
});

test('Secure Boot is what the domain asks for, where libvirt has not chosen a loader yet', async () => {
  const secureBoot = (enabled: string): boolean => {
    const { firmware } = readDomain(`<domain><uuid>5e1fc4ec-0000-4000-8000-000000000003</uuid>
      <name>web1</name><os firmware='efi'><type>hvm</type><firmware>
        <feature enabled='no' name='enrolled-keys'/><feature enabled='${enabled}' name='secure-boot'/>
      </firmware></os></domain>`).description;
    return firmware.kind === 'uefi' && firmware.secureBoot;
  };
  deepEqual([secureBoot('yes'), secureBoot('no')], [true, false]);
});
