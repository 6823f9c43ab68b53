import { field, flag, list, object, oneOf, optional } from '../../lib/schema.ts';
import { count, prose, word } from './fields.ts';

/** What is shown of a machine's description (formats/store/catalog/machine.md). */

const DEVICES_MAX = 1024;
const BOOT_MAX = 4096;

const describedDisk = object({
  name: field(prose, 'name of the disk'),
  bus: field(word, 'how it is connected'),
  size: field(optional(count), 'its size in bytes'),
  source: field(optional(prose), 'where it was on the host'),
  excluded: field(
    optional(
      object({
        reason: field(
          prose,
          'why it is not in the recovery point: chosen, removable, pass-through, shared, independent, network, or a ' +
            'reason of a later release',
        ),
        detail: field(prose, 'the reason in words'),
      }),
    ),
    'set if the disk was left out',
  ),
});

const describedNic = object({
  mac: field(prose, 'its MAC address'),
  model: field(prose, 'its model'),
  network: field(prose, 'the network to which it is connected'),
  vlan: field(optional(count), 'its VLAN'),
  connected: field(flag(), 'whether it was connected'),
});

export const describedMachine = object({
  hypervisor: field(prose, 'name of the hypervisor'),
  kind: field(prose, 'its kind'),
  product: field(prose, 'its product and version'),
  name: field(prose, 'name of the machine there'),
  folder: field(optional(prose), 'the folder there in which it was'),
  uuid: field(prose, 'UUID of the machine'),
  arch: field(prose, 'its processors: x86_64, aarch64'),
  machineType: field(optional(prose), 'its model'),
  firmware: field(prose, 'its firmware: bios, uefi, or one of a later release'),
  secureBoot: field(flag(), 'whether the firmware starts signed systems only'),
  cpus: field(count, 'number of its processors'),
  cpuModel: field(optional(prose), 'their model'),
  memory: field(count, 'its memory in bytes'),
  clock: field(oneOf('utc', 'localtime'), 'the time of its clock'),
  tpm: field(optional(prose), 'version of its TPM'),
  os: field(optional(prose), 'its operating system'),
  autostart: field(flag(), 'whether it starts with its host'),
  boot: field(list(prose, BOOT_MAX), 'what it boots from, in order'),
  disks: field(list(describedDisk, DEVICES_MAX), 'all its disks, also those that were left out'),
  nics: field(list(describedNic, DEVICES_MAX), 'its network cards'),
});
