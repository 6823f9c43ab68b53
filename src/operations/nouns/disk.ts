import {
  field,
  flag,
  list,
  nullable,
  object,
  oneOf,
  optional,
  withDefault,
} from '../../lib/schema.ts';
import { count, nothing, prose, word } from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';

/* Disks of the machine that Holdfast runs on. */

const MANY = 10_000;

const disk = object({
  name: field(word, 'name of the disk'),
  model: field(nullable(prose), 'its model'),
  serial: field(nullable(prose), 'its serial number'),
  size: field(count, 'its size in bytes'),
  bus: field(nullable(word), 'its state connected'),
  spins: field(flag(), 'whether it spins'),
  holds: field(list(prose, MANY), 'what is on it'),
  inUse: field(flag(), 'whether it is in use'),
  health: field(
    object({
      state: field(oneOf('good', 'failing', 'unknown'), 'its state'),
      detail: field(prose, 'what smartctl says'),
    }),
    'its health',
  ),
});

const list_ = query('disk/list', {
  summary: 'List disks, their contents and their health',
  description: 'Their health comes from smartctl (apt-get install smartmontools).',
  runs: 'hostd',
  request: nothing,
  result: object({ disks: field(list(disk, MANY), 'disks') }),
  cli: { examples: ['disk list'] },
});

const createPool = mutation('pool/create', {
  summary: 'Format a disk to keep backups on',
  description:
    'Creates a file system on the whole disk, mounted at /var/lib/holdfast from now on. Next: "store ' +
    'create".',
  runs: 'hostd',
  changes: ['disk', 'store'],
  // Every disk is a file of the machine, and the contents of this one are lost.
  remote: { denied: 'it erases a disk of the host' },
  request: object({
    disk: field(word, 'name of the disk, as "disk list" shows it', { placeholder: 'NAME' }),
    fileSystem: field(withDefault(oneOf('xfs', 'ext4'), 'xfs'), 'the file system'),
    erase: field(
      optional(prose),
      'agree to lose its contents: its serial number (its name, if it has none), typed out',
      { placeholder: 'SERIAL' },
    ),
  }),
  result: object({
    disk: field(word, 'name of the disk'),
    fileSystem: field(word, 'the file system'),
    mountedAt: field(prose, 'where it is mounted'),
  }),
  cli: {
    says: '{disk} is mounted at {mountedAt}. Next: "store create".',
    examples: ['pool create --disk sdb', 'pool create --disk sdb --erase WD-WX12A'],
  },
});

export const operations = [list_, createPool] as const;
