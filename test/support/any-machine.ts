import * as fc from 'fast-check';
import type { MachineDescription } from '../../src/formats/store/catalog/machine.ts';
import { HOSTILE_TEXTS } from './hostile-texts.ts';

/* Machines as a hypervisor, or anyone who can write to a store, may describe them. */

/** Any text, with those that break out of the formats that it goes into. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(...HOSTILE_TEXTS.filter(({ length }) => length <= 4096)),
  },
  fc.string({ unit: 'binary', maxLength: 50 }),
  fc.string({ maxLength: 50 }),
);

const bytes = fc.maxSafeNat();
const count = fc.integer({ min: 1, max: 2 ** 20 });

/** With the fields that may be absent, or without. */
function some<T extends object>(
  model: { [Key in keyof T]: fc.Arbitrary<T[Key]> },
  requiredKeys: readonly (keyof T)[],
): fc.Arbitrary<T> {
  return fc.record(model, { requiredKeys: requiredKeys as never }) as never;
}

const disk = (name: fc.Arbitrary<string>) =>
  some<MachineDescription['disks'][number]>(
    {
      ...{ name, size: bytes, serial: anyText, wwn: anyText, source: anyText },
      bus: fc.constantFrom('virtio', 'scsi', 'sata', 'ide', 'nvme', 'usb', 'xvd', 'other'),
      controller: some<{ model?: string | undefined; index: number; unit: number }>(
        { model: fc.oneof(anyText, fc.constant('pvscsi')), index: count, unit: count },
        ['index', 'unit'],
      ),
      sectorBytes: fc.constantFrom(512, 4096),
      excluded: fc.record({
        reason: fc.constantFrom('chosen', 'removable', 'pass-through', 'shared', 'network'),
        detail: anyText,
      }),
    },
    ['name', 'bus', 'sectorBytes'],
  );

const nic: fc.Arbitrary<MachineDescription['nics'][number]> = fc.record({
  mac: fc.oneof(
    anyText,
    fc.constantFrom('52:54:00:12:34:56', '01:00:5E:00:00:01', '00:00:00:00:00:00'),
  ),
  model: fc.oneof(anyText, fc.constantFrom('virtio', 'e1000', 'toString')),
  network: some<MachineDescription['nics'][number]['network']>(
    { kind: anyText, name: anyText, vlan: fc.integer({ min: 0, max: 4095 }) },
    ['kind', 'name'],
  ),
  connected: fc.boolean(),
});

const FIELDS = [
  ...(['from', 'arch', 'firmware', 'cpu', 'memory', 'ids', 'clock'] as const),
  ...(['disks', 'nics', 'boot', 'autostart', 'native'] as const),
];

/** `disks`: the names of those that a session may have. */
export function anyMachine(...disks: readonly string[]): fc.Arbitrary<MachineDescription> {
  const name = fc.oneof(fc.constantFrom(...disks), anyText);
  return some<MachineDescription>(
    {
      from: some<MachineDescription['from']>(
        {
          kind: fc.constantFrom('libvirt', 'qemu', 'vsphere', 'hyperv', 'xapi', 'proxmox'),
          ...{ hypervisor: anyText, product: anyText, id: anyText, name: anyText, folder: anyText },
        },
        ['kind', 'hypervisor', 'product', 'id', 'name'],
      ),
      arch: fc.oneof(anyText, fc.constantFrom('x86_64', 'aarch64')),
      firmware: fc.oneof(
        fc.constant({ kind: 'bios' } as const),
        some<Extract<MachineDescription['firmware'], { kind: 'uefi' }>>(
          {
            ...{ kind: fc.constant('uefi'), secureBoot: fc.boolean() },
            ...{ varsFile: anyText, varsTemplate: anyText },
          },
          ['kind', 'secureBoot'],
        ),
      ),
      machineType: fc.oneof(anyText, fc.constantFrom('pc-q35-7.2', 'vmx-19', "pc'", 'pc\n')),
      cpu: some<MachineDescription['cpu']>(
        {
          ...{ count, sockets: count, cores: count, threads: count, maxCount: count },
          model: fc.oneof(anyText, fc.constant('host-model')),
        },
        ['count'],
      ),
      memory: some<MachineDescription['memory']>({ bytes, minBytes: bytes, maxBytes: bytes }, [
        'bytes',
      ]),
      ids: some<MachineDescription['ids']>(
        { uuid: anyText, smbiosUuid: anyText, serial: anyText, generationId: anyText },
        ['uuid'],
      ),
      clock: fc.constantFrom('utc', 'localtime'),
      disks: fc.array(disk(name), { maxLength: 5 }),
      nics: fc.array(nic, { maxLength: 3 }),
      tpm: some<NonNullable<MachineDescription['tpm']>>(
        { version: fc.oneof(anyText, fc.constantFrom('1.2', '2.0')), stateFile: anyText },
        ['version'],
      ),
      boot: fc.array(
        fc.oneof(
          anyText,
          name.map((it) => `disk:${it}`),
        ),
        { maxLength: 5 },
      ),
      guest: some<NonNullable<MachineDescription['guest']>>({ os: anyText, agent: fc.boolean() }, [
        'agent',
      ]),
      autostart: fc.boolean(),
      native: fc.record({
        format: fc.constantFrom('libvirt-xml', 'vmx', 'hyperv-json', 'pve-conf'),
        file: anyText,
      }),
    },
    [...FIELDS],
  );
}
