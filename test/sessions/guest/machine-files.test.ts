import { deepEqual, equal, match, notEqual, ok } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { DiskBus, MachineDescription } from '../../../src/formats/store/catalog/machine.ts';
import type { SessionRecord } from '../../../src/formats/store/sessions/session.ts';
import { sessionUuid } from '../../../src/formats/store/sessions/session-uuid.ts';
import { libvirtXml, qemuArguments } from '../../../src/sessions/guest/guest-config.ts';
import { libvirtDomain } from '../../../src/sessions/guest/libvirt-domain.ts';
import { targetsOf } from '../../../src/sessions/guest/libvirt-disks.ts';
import { machineFiles } from '../../../src/sessions/guest/machine-files.ts';
import { nfsSnippets } from '../../../src/sessions/guest/nfs-snippets.ts';
import { proxmoxCommands } from '../../../src/sessions/guest/proxmox.ts';
import { placedDisks } from '../../../src/sessions/guest/session-machine.ts';
import { vmx } from '../../../src/sessions/guest/vmx.ts';
import { MACHINE } from '../../support/machine-description.ts';
import { program, without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const directory = temporaryDirectory();

/** A session of a machine with these disks. */
function sessionOf(...disks: string[]): SessionRecord {
  const session = { id: 'web1-3f9c2a', set: 'nightly', machine: 'web1', point: 'web1-1' };
  return {
    ...session,
    disks: disks.map((name) => ({ name, size: 2 ** 20 })),
  } as unknown as SessionRecord;
}

/** The machine with one disk on each of these buses. */
function withBuses(...buses: DiskBus[]): MachineDescription {
  const disks = buses.map((bus, unit) => ({
    ...{ name: `disk${unit}`, bus, sectorBytes: 512 as const },
    controller: { index: 0, unit },
  }));
  return { ...MACHINE, disks, boot: ['disk:disk1', 'disk:gone', 'disk:disk0'] };
}

const FILES = { variables: 'web1_VARS.fd', tpmState: undefined };
const BUSES = ['virtio', 'scsi', 'sata', 'ide', 'nvme', 'usb', 'xvd', 'other'] as const;
const NAMES = BUSES.map((_, at) => `disk${at}`);

/** By the schema of the libvirt that is installed. */
async function validate(domain: string): Promise<void> {
  const file = join(directory, 'domain.xml');
  writeFileSync(file, domain);
  const driver = ['-c', 'test:///default'];
  match(await program('virsh', ...driver, 'define', '--validate', file), /defined/);
}

test('a libvirt domain is the machine as it was, not connected, with a UUID of its own', async () => {
  const domain = libvirtDomain(sessionOf('vda'), { machine: MACHINE, ...FILES });
  for (const it of [
    "<memory unit='KiB'>4194304</memory>",
    '<vcpu>4</vcpu>',
    "<cpu mode='host-passthrough'><topology sockets='1' cores='2' threads='2'/></cpu>",
    "<os firmware='efi'>",
    "<type arch='x86_64' machine='pc-q35-7.2'>hvm</type>",
    "<feature enabled='yes' name='secure-boot'/>",
    '<nvram>/mnt/holdfast/web1-3f9c2a/web1_VARS.fd</nvram>',
    "<smm state='on'/>",
    "<clock offset='localtime'/>",
    "<controller type='scsi' index='0' model='virtio-scsi'/>",
    "<boot order='1'/>",
    '<serial>S1</serial>',
    '<wwn>5000c50015ea71ac</wwn>',
    "<mac address='52:54:00:12:34:56'/>",
    '<!-- was on bridge br0, VLAN 12 -->',
    "<tpm model='tpm-crb'>",
  ]) {
    ok(domain.includes(it), `${it} in\n${domain}`);
  }
  equal(domain.match(/<link state='down'\/>/g)!.length, 2);
  ok(!domain.includes('<uuid>'));
});

test('with the state of its TPM, a domain has the UUID under which libvirt looks for it', async () => {
  const files = { ...FILES, tpmState: 'web1_TPM.permall' };
  const domain = libvirtDomain(sessionOf('vda'), { machine: MACHINE, ...files });
  const [, uuid = ''] = /<uuid>(.*)<\/uuid>/.exec(domain)!;
  match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  notEqual(uuid, MACHINE.ids.uuid);
  const place = `/var/lib/libvirt/swtpm/${uuid}/tpm2`;
  const state = '/mnt/holdfast/web1-3f9c2a/web1_TPM.permall';
  const steps = [`mkdir -p ${place}`, `cp ${state} ${place}/tpm2-00.permall`];
  for (const step of steps) ok(domain.includes(`<!-- ${step} -->`), domain);
  const about = { machine: MACHINE, variables: undefined, tpmState: new Uint8Array(1) };
  const ports = { nfs: 2049, mount: 20_048, portmap: 111 };
  const { files: names, snippets } = nfsSnippets(sessionOf('vda'), { host: 'box', ports, about });
  ok(names.includes('web1_TPM.permall'));
  ok(snippets.libvirt.includes(`${steps.join('\n')}\nvirsh create`), snippets.libvirt);
  equal(libvirtDomain(sessionOf('vda'), { machine: MACHINE, ...files }), domain);
  notEqual(sessionUuid({ id: 'web1-000000', point: 'web1-1' }), uuid);
});

test('guests find their disks by serial number and WWN again, as far as a hypervisor takes these', async () => {
  const session = sessionOf('vda');
  const [disk] = MACHINE.disks;
  const made = (ids: { serial?: string; wwn?: string }, bus: DiskBus = 'scsi') => {
    const machine = { ...MACHINE, disks: [{ ...disk!, bus, serial: undefined, ...ids }] };
    const [place] = targetsOf(session, machine);
    const address = { kind: 'tcp', host: 'box', port: 1 } as const;
    const attached = [{ disk: 'vda', address, tls: undefined, place: place! }];
    return [
      libvirtDomain(session, { machine, ...FILES }),
      libvirtXml(attached),
      qemuArguments(attached).join(' '),
      proxmoxCommands(session, machine).join('\n'),
    ].flatMap((text) => text.match(/(<serial>|<wwn>|,serial=|,wwn=0x)[^,<\s]*/g) ?? []);
  };
  const wwn = '5000c50015ea71ac';
  const xml = ['<serial>S-1', `<wwn>${wwn}`];
  const words = [',serial=S-1', `,wwn=0x${wwn}`];
  deepEqual(made({ serial: 'S-1', wwn: `0x${wwn}` }), [...xml, ...xml, ...words, ...words]);
  deepEqual(made({ wwn }, 'virtio'), []);
  deepEqual(made({ serial: "S'1,readonly=on", wwn: 'naa.5000' }), []);
});

test("libvirt takes each machine by its own schema, whatever a machine's texts are", {
  skip: without('virsh'),
}, async () => {
  const [nic] = MACHINE.nics;
  const odd = "it's -- & <that>\u0007\u0000\ud800\ufffe";
  const nics = [{ ...nic!, mac: odd, model: odd, network: { kind: odd, name: `-${odd}--` } }];
  const bios = { kind: 'bios' } as const;
  const machines: readonly (MachineDescription | undefined)[] = [
    undefined,
    MACHINE,
    withBuses(...BUSES),
    { ...withBuses(...BUSES), firmware: bios, machineType: 'pc', tpm: { version: '1.2' }, nics },
    { ...MACHINE, firmware: bios, machineType: 'vmx-19', cpu: { count: 3, model: odd }, nics },
    { ...MACHINE, arch: 'aarch64', machineType: odd },
    { ...MACHINE, arch: odd, memory: { bytes: 0 }, nics: [{ ...nic!, mac: '01:00:5e:00:00:01' }] },
  ];
  for (const machine of machines) {
    const session = sessionOf('vda', ...NAMES, "it's -- & <that>");
    await validate(libvirtDomain(session, { machine, ...FILES, tpmState: 'web1_TPM.permall' }));
    const disks = session.disks.map(({ name: disk }) => ({
      ...{ disk, address: { kind: 'tcp', host: 'box', port: 1 } as const, tls: undefined },
      place: targetsOf(session, machine).find(({ name }) => name === disk)!,
    }));
    const attached = `<domain type='qemu'><name>m</name><memory>65536</memory>
      <os><type arch='x86_64'>hvm</type></os><devices>${libvirtXml(disks)}</devices></domain>`;
    await validate(attached);
  }
});

test('disks keep their buses and their names where libvirt takes these, and have others elsewhere', async () => {
  const targets = (machine: MachineDescription) =>
    targetsOf(sessionOf(...NAMES), machine).map(
      ({ name, on, target }) => `${name} ${on} ${target}`,
    );
  const machine = {
    ...withBuses(...BUSES),
    firmware: { kind: 'bios' },
    machineType: 'pc',
  } as const;
  deepEqual(targets(machine), [
    ...['disk0 virtio vda', 'disk1 scsi sda', 'disk2 sata sdb', 'disk3 ide hda'],
    ...['disk4 sata sdc', 'disk5 usb sdd', 'disk6 sata sde', 'disk7 sata sdf'],
  ]);
  ok(targets(withBuses(...BUSES)).includes('disk3 sata sdc'), 'QEMU has no IDE in a q35');
  const named = targetsOf(sessionOf('vdb', 'vda'), undefined).map(({ target }) => target);
  deepEqual(named, ['vdb', 'vda']);
});

test('disks come in the order of their controllers, whatever the order of their names', async () => {
  const disks = ['b', 'a'].map((name, unit) => ({
    ...({ name, bus: 'scsi', sectorBytes: 512, controller: { index: 0, unit } } as const),
  }));
  const placed = placedDisks(sessionOf('a', 'b', 'new'), { ...MACHINE, disks });
  deepEqual(
    placed.map(({ name }) => name),
    ['b', 'new', 'a'],
  );
});

test('a .vmx is the machine as it was, not connected, with a UUID of its own', async () => {
  const machine = withBuses('scsi', 'sata', 'nvme');
  const text = vmx(sessionOf('disk0', 'disk1', 'disk2'), machine);
  for (const line of [
    'memSize = "4096"',
    'numvcpus = "4"',
    'cpuid.coresPerSocket = "4"',
    'firmware = "efi"',
    'uefi.secureBoot.enabled = "TRUE"',
    'uuid.action = "create"',
    'scsi0.virtualDev = "lsilogic"',
    'scsi0:0.fileName = "disk0.vmdk"',
    'sata0:0.fileName = "disk1.vmdk"',
    'nvme0:0.fileName = "disk2.vmdk"',
    'ethernet0.networkName = "br0"',
    'ethernet0.startConnected = "FALSE"',
    'ethernet1.virtualDev = "e1000e"',
  ]) {
    ok(text.includes(`${line}\n`), `${line} in\n${text}`);
  }
  const [nic] = MACHINE.nics;
  const hostile = { ...nic!, network: { kind: 'x', name: 'a"\nsmbios.reflectHost = "TRUE' } };
  const odd = vmx(sessionOf('disk0'), { ...machine, nics: [hostile] });
  match(odd, /^ethernet0\.networkName = "a\|22\|0Asmbios\.reflectHost = \|22TRUE"$/m);
  const from = { ...MACHINE.from, kind: 'vsphere' } as const;
  match(vmx(sessionOf('disk0'), { ...machine, from, machineType: 'vmx-19' }), /version = "19"/);
});

test('commands for Proxmox VE make the machine as it was, and say that its disks stay where they are', async () => {
  const text = proxmoxCommands(sessionOf('vda'), MACHINE).join('\n');
  match(text, /^qm create VMID --name web1-recovered --memory 4096 --sockets 1 --cores 4 /m);
  match(text, / --machine q35 --bios ovmf --efidisk0 STORAGE:1,efitype=4m,pre-enrolled-keys=1 /);
  match(text, / --net0 virtio=52:54:00:12:34:56,bridge=vmbr0,link_down=1,tag=12 /);
  match(
    text,
    / --scsi0 \/mnt\/pve\/holdfast\/web1-3f9c2a\/vda\.raw,serial=S1,wwn=0x5000c50015ea71ac$/m,
  );
  match(text, /^# qm disk import VMID \/mnt\/pve\/holdfast\/web1-3f9c2a\/vda\.raw STORAGE$/m);
  const plain = proxmoxCommands(sessionOf('vda', 'vdb'), undefined).join('\n');
  match(plain, /^qm create VMID --name web1-recovered --memory 2048 --scsi0 \S+ --scsi1 \S+$/m);
});

test('QEMU has the disks on the buses that the guest knows', async () => {
  const session = sessionOf(...NAMES);
  const disks = targetsOf(session, withBuses(...BUSES)).map((place) => ({
    ...{ disk: place.name, address: { kind: 'unix', path: '/x' } as const, tls: undefined, place },
  }));
  const devices = qemuArguments(disks).filter((it) => it.includes('drive='));
  equal(devices[0], 'virtio-blk-pci,drive=disk0');
  equal(devices[1], 'scsi-hd,bus=scsi0.0,drive=disk1');
  equal(devices[2], 'ide-hd,drive=disk2');
});

test('the files of a session without a description are those of before', async () => {
  const names = (about: Parameters<typeof machineFiles>[1]) =>
    machineFiles(sessionOf('vda'), about).files.map(({ name }) => name);
  deepEqual(names({}), ['vda.vmdk', 'web1.vmx', 'web1.xml']);
  const variables = Uint8Array.of(1, 2);
  deepEqual(names({ machine: MACHINE, variables }), [
    ...['vda.vmdk', 'web1.vmx', 'web1.xml', 'web1_VARS.fd'],
  ]);
});
