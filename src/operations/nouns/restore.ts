import { field, flag, list, object, optional, withDefault } from '../../lib/schema.ts';
import { count, line, name, PATH_MAX, point, prose, word } from '../base/fields.ts';
import { mutation } from '../base/operation.ts';
import { disk, FORMATS, NOT_A_FILE } from './backup.ts';
import { writtenDisks } from './finalize.ts';

/* Disks of recovery points, written back. */

/** Its domain, its .vmx, and what belongs to its firmware. */
const FILES_MAX = 8;

const restore = mutation('restore/disk', {
  summary: 'Write a disk to a file, a device or an NBD server',
  description:
    'A file appears when it is complete; holes stay holes. The written data is read back and compared.',
  runs: 'worker',
  changes: [],
  key: 'opens',
  passkey: 'asked',
  lockdown: 'allowed',
  job: { kind: 'restore' },
  request: object({
    point,
    disk: field(name, 'name of the disk', { placeholder: 'DISK', names: 'disks' }),
    to: field(disk, 'a file, a device or an NBD URI', {
      ...{ placeholder: 'FILE|DEVICE|NBD-URI', hostFile: NOT_A_FILE },
    }),
    format: field(
      optional(line(32)),
      'raw, qcow2, vmdk, vdi, vhd or vhdx (default: the ending of the name, else raw); only raw for devices and NBD',
      { placeholder: 'FORMAT', suggests: FORMATS },
    ),
    overwrite: field(withDefault(flag(), false), 'replace an existing file'),
    erase: field(
      optional(line(256)),
      'overwrite the contents of a device: its serial number (its name, if it has none), typed out',
      { placeholder: 'SERIAL' },
    ),
  }),
  result: object({
    point: field(word, 'ID of the recovery point'),
    disk: field(word, 'name of the disk'),
    to: field(prose, 'where it was written'),
    format: field(word, 'its format'),
    size: field(count, 'size of the disk in bytes'),
    writtenBytes: field(count, 'bytes that were written'),
  }),
  cli: {
    args: ['point', 'disk'],
    examples: ['restore disk web1@latest vda --to /images/web1.qcow2'],
  },
});

const images = mutation('restore/images', {
  summary: 'Write all disks of a machine, and its definition, to a directory',
  description:
    'Writes MACHINE-DISK.FORMAT for each disk, a libvirt domain MACHINE.xml, for VMDK images MACHINE.vmx, and the ' +
    'variables of its firmware and the state of its TPM where the backup has them. The disks are read back and ' +
    'compared, and appear when all are complete. A file that already holds what it should is left as it is: an ' +
    'interrupted restore can be repeated. The definition has a UUID of its own, and network cards that are not ' +
    'connected.',
  runs: 'worker',
  changes: [],
  key: 'opens',
  passkey: 'asked',
  lockdown: 'allowed',
  job: { kind: 'restore-images' },
  request: object({
    point,
    to: field(line(PATH_MAX), 'an existing directory', {
      ...{ placeholder: 'DIRECTORY', hostFile: true },
    }),
    format: field(optional(line(32)), 'raw, qcow2, vmdk, vdi, vhd or vhdx (default: raw)', {
      placeholder: 'FORMAT',
      suggests: FORMATS,
    }),
    overwrite: field(withDefault(flag(), false), 'replace existing files'),
  }),
  result: object({
    point: field(word, 'ID of the recovery point'),
    machine: field(word, 'name of the machine'),
    disks: writtenDisks,
    files: field(
      list(prose, FILES_MAX),
      'files with its definition, its firmware variables and its TPM state',
    ),
  }),
  cli: {
    args: ['point'],
    examples: [
      'restore images web1@latest --to /var/lib/libvirt/images --format qcow2',
      'restore images web1@latest --to /srv/web1 --format vmdk --queue',
    ],
  },
});

export const operations = [restore, images] as const;
