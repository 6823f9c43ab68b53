import { match, ok } from 'node:assert/strict';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { MachineDescription } from '../../src/formats/store/catalog/machine.ts';
import { libvirtDomain } from '../../src/sessions/guest/libvirt-domain.ts';
import { libvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { MACHINE } from '../support/machine-description.ts';
import { without } from '../support/programs.ts';

// The domain that lies beside a session's disks, given to a libvirtd with QEMU for real.

const BUSES = ['virtio', 'scsi', 'sata', 'ide', 'nvme', 'usb'] as const;
const VARIABLES = '/usr/share/OVMF/OVMF_VARS_4M.ms.fd';

const small: MachineDescription = {
  ...MACHINE,
  memory: { bytes: 2 ** 27 },
  cpu: { count: 1 },
  disks: BUSES.map((bus, unit) => ({
    ...{ name: `disk${unit}`, bus, sectorBytes: 512 as const },
    controller: { index: 0, unit },
  })),
  boot: ['disk:disk1', 'disk:disk0'],
};

const KINDS: readonly [string, MachineDescription | undefined, RegExp][] = [
  ['of which nothing is known', undefined, /<type arch='x86_64' machine='pc-i440fx/],
  ['with UEFI, Secure Boot and a TPM', small, /secure='yes' type='pflash'>.*CODE_4M\.ms\.fd/],
  [
    'with BIOS that was on ESXi',
    { ...small, firmware: { kind: 'bios' }, machineType: 'vmx-19', tpm: undefined },
    /<type arch='x86_64' machine='pc-i440fx/,
  ],
];

test('libvirt starts the domain of a session', {
  skip: libvirtMissing || without('swtpm'),
  timeout: 120_000,
}, async (t) => {
  await using host = await libvirtHost();
  const place = join(host.directory, 's');
  mkdirSync(place);
  const disks = BUSES.map((_, at) => ({ name: `disk${at}`, size: 2 ** 20 }));
  for (const { name, size } of disks) {
    await host.disk(`s/${name}.raw`, { size, format: 'raw', isBlank: true });
  }
  const session = { id: 's', machine: 'web1', point: 'web1-1', disks };
  for (const [what, machine, system] of KINDS) {
    await t.test(`a machine ${what}`, async () => {
      const isUefi = machine?.firmware.kind === 'uefi';
      if (isUefi) copyFileSync(VARIABLES, join(place, 'web1_VARS.fd'));
      const variables = isUefi ? 'web1_VARS.fd' : undefined;
      const domain = libvirtDomain(session, {
        machine,
        variables,
        tpmState: undefined,
      })
        // Without KVM, without the mount, and on a file system that need not know direct I/O.
        .replace("type='kvm'", "type='qemu'")
        .replaceAll('/mnt/holdfast', host.directory)
        .replaceAll(" cache='none'", '');
      const file = join(host.directory, 'domain.xml');
      writeFileSync(file, domain);
      await host.virsh('define', '--validate', file);
      await host.virsh('start', 'web1-recovered');
      const running = await host.virsh('dumpxml', 'web1-recovered');
      match(running, system);
      ok(!running.includes(MACHINE.ids.uuid));
      await host.virsh('destroy', 'web1-recovered');
      await host.virsh('undefine', '--keep-nvram', 'web1-recovered');
    });
  }
});
