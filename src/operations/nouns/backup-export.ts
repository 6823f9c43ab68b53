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
import { count, damage, line, MANY, name, PATH_MAX, prose, time, word } from '../base/fields.ts';
import { mutation } from '../base/operation.ts';

/* Recovery points in one file: written, looked at, imported. */

const POINTS_MAX = 100_000;
const SETS_MAX = 65_536;
const DISKS_MAX = 256;

const file = field(line(PATH_MAX), 'the export', { placeholder: 'FILE', hostFile: true });

const exportPoints = mutation('backup/export', {
  summary: 'Write recovery points to one file',
  description:
    'Give recovery points, --set or --run. The file has all that a Holdfast on another host needs to import the ' +
    'recovery points, encrypted as they are in the store, and checksums over every part. It appears when it is ' +
    'complete. What several recovery points share is in the file only once. A recovery point ' +
    'that cannot be read whole is left out, and named.',
  runs: 'worker',
  changes: [],
  key: 'opens',
  passkey: 'asked',
  request: object({
    points: field(
      optional(list(line(512), POINTS_MAX)),
      'recovery points: each an ID, the beginning of one, or MACHINE@latest; SET/ may stand before it',
      { placeholder: 'POINT', names: 'points' },
    ),
    set: field(optional(name), 'all recovery points of this backup set', {
      placeholder: 'SET',
      names: 'sets',
    }),
    machine: field(optional(name), 'with --set or --run: only those of this machine', {
      ...{ placeholder: 'MACHINE', names: 'machines' },
    }),
    run: field(
      optional(name),
      'all recovery points of this run; with --set, only those in that set',
      { placeholder: 'RUN' },
    ),
    to: field(line(PATH_MAX), 'a new file', { placeholder: 'FILE', hostFile: true }),
    overwrite: field(withDefault(flag(), false), 'replace an existing file'),
  }),
  result: object({
    to: field(prose, 'where it was written'),
    bytes: field(count, 'size of the file'),
    points: field(
      list(
        object({
          set: field(word, 'name of the backup set'),
          point: field(word, 'ID of the recovery point'),
          machine: field(word, 'name of the machine'),
        }),
        MANY,
      ),
      'recovery points in the file',
    ),
    failed: field(
      list(
        object({
          set: field(word, 'name of the backup set'),
          point: field(word, 'ID of the recovery point'),
          reason: field(prose, 'why it is not in the file'),
        }),
        MANY,
      ),
      'recovery points that are not in the file',
    ),
  }),
  cli: {
    args: ['points'],
    notes: 'Exit code 6 if a recovery point could not be read; the others are in the file.',
    examples: ['backup export --set nightly --to /mnt/usb/nightly.export'],
  },
});

const fileDamage = field(
  list(
    object({
      offset: field(count, 'where in the file, in bytes'),
      what: field(prose, 'what is wrong there'),
    }),
    MANY,
  ),
  'what is damaged or missing in the file',
);
const moreDamage = field(count, 'how many more damaged places there are than are listed');

const importPoints = mutation('backup/import', {
  summary: 'Import recovery points from an export',
  description:
    'A backup set that the store does not have is created, with the keys that it had: its passphrase, or its ' +
    'recovery key, opens it. Each recovery point appears once all of it is stored. One that the store has already ' +
    'is left as it is, and blocks that the store has are not stored again: an interrupted import can be repeated. ' +
    'Of a damaged file, recovery points that the damage does not affect are imported, and the others are named.',
  runs: 'worker',
  changes: ['backup', 'set'],
  key: 'opens',
  passkey: 'not asked',
  request: object({
    file,
    set: field(optional(name), 'only this backup set of the file', { placeholder: 'SET' }),
    as: field(optional(name), 'name of the backup set in this store (default: as in the file)', {
      placeholder: 'NAME',
    }),
    dryRun: field(
      withDefault(flag(), false),
      'only read and check all of it, and show what would be imported',
    ),
  }),
  result: object({
    sets: field(
      list(
        object({
          set: field(word, 'its name in this store'),
          from: field(word, 'its name in the file'),
          isNew: field(flag(), 'whether the store did not have it'),
          encrypted: field(flag(), 'whether it is encrypted'),
        }),
        SETS_MAX,
      ),
      'backup sets',
    ),
    points: field(
      list(
        object({
          set: field(word, 'name of the backup set in this store'),
          point: field(word, 'ID of the recovery point'),
          machine: field(word, 'name of the machine'),
          state: field(
            oneOf('imported', 'exists', 'failed', 'new'),
            'imported; exists: the store has it already; failed; new: a dry run did not import it',
          ),
          reason: field(nullable(prose), 'why it was not imported, or why that may fail'),
        }),
        MANY,
      ),
      'recovery points',
    ),
    storedBytes: field(count, 'bytes that were new in the store'),
    ...{ fileDamage, moreDamage, damage },
  }),
  cli: {
    args: ['file'],
    notes:
      'Exit code 6 if the file is damaged, 1 if a recovery point was refused. A recovery point is refused if its set ' +
      'has, or had, newer ones of the same machine: use --as NAME.',
    examples: [
      'backup import /mnt/usb/nightly.export',
      'backup import /mnt/usb/nightly.export --as nightly-2026 --recovery-key-file key',
    ],
  },
});

const inspect = mutation('backup/inspect-export', {
  summary: 'Show what an export holds',
  description: 'Needs no key and no store: the list is not encrypted.',
  runs: 'worker',
  changes: [],
  lockdown: 'allowed',
  request: object({
    file,
    readData: field(
      withDefault(flag(), false),
      'read all of it, and compare every checksum: as long as reading the file takes',
    ),
  }),
  result: object({
    created: field(nullable(word), 'when it was written, ISO 8601 in UTC; null: not known'),
    sets: field(
      list(
        object({
          set: field(word, 'name of the backup set'),
          encrypted: field(flag(), 'whether it is encrypted'),
        }),
        SETS_MAX,
      ),
      'backup sets',
    ),
    points: field(
      list(
        object({
          set: field(word, 'name of the backup set'),
          point: field(word, 'ID of the recovery point'),
          machine: field(word, 'name of the machine'),
          created: time('when it was created'),
          disks: field(
            list(
              object({
                name: field(word, 'name of the disk'),
                size: field(count, 'its size in bytes'),
              }),
              DISKS_MAX,
            ),
            'its disks',
          ),
          bytes: field(count, 'bytes of it that no recovery point before it in the file has'),
        }),
        MANY,
      ),
      'recovery points that were to be exported',
    ),
    isRead: field(flag(), 'whether all of the file was read'),
    ...{ fileDamage, moreDamage },
  }),
  cli: {
    args: ['file'],
    examples: [
      'backup inspect-export /mnt/usb/nightly.export',
      'backup inspect-export /mnt/usb/nightly.export --read-data',
    ],
  },
});

export const operations = [exportPoints, importPoints, inspect] as const;
