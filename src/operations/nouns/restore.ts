import { field, flag, object, optional, withDefault } from '../../lib/schema.ts';
import { count, line, name, point, prose, word } from '../base/fields.ts';
import { mutation } from '../base/operation.ts';
import { disk, FORMATS, NOT_A_FILE } from './backup.ts';

/* Disks of recovery points, written back. */

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

export const operations = [restore] as const;
