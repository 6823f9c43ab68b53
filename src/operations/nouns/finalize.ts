import { field, flag, list, type Of, object, optional, withDefault } from '../../lib/schema.ts';
import { count, line, name, PATH_MAX, prose, session, word } from '../base/fields.ts';
import { mutation } from '../base/operation.ts';
import { DISKS_MAX } from '../base/point-fields.ts';
import { disk, FORMATS, NOT_A_FILE } from './backup.ts';

/* A session's disks, written to permanent storage. */

/** Disks that were written to permanent storage. */
export const writtenDisks = field(
  list(
    object({
      disk: field(word, 'name of the disk'),
      to: field(prose, 'where it was written'),
      format: field(word, 'its format'),
      size: field(count, 'size of the disk in bytes'),
      writtenBytes: field(count, 'bytes that were written; 0: the file held the disk already'),
    }),
    DISKS_MAX,
  ),
  'its disks',
);

const finalizedSession = object({
  session: field(word, 'ID of the session, which has ended'),
  disks: writtenDisks,
});
export type FinalizedSession = Of<typeof finalizedSession>;

const finalize = mutation('session/finalize', {
  summary: "Write a session's disks to permanent storage, and end it",
  description:
    'Writes all disks, as the guest left them, to files, devices or NBD servers, reads them back and compares them. ' +
    'Files appear when all disks are complete; only then the session ends. If anything fails, the session is ' +
    'unchanged: repeat the same command. A file that already holds the disk is left as it is.',
  runs: 'worker',
  changes: ['session'],
  key: 'opens',
  passkey: 'asked',
  lockdown: 'allowed',
  job: { kind: 'finalize' },
  request: object({
    session,
    to: field(
      optional(line(PATH_MAX)),
      'an existing directory: each disk becomes the file MACHINE-DISK.FORMAT in it',
      { placeholder: 'DIRECTORY', hostFile: true },
    ),
    format: field(
      optional(line(32)),
      'raw, qcow2, vmdk, vdi, vhd or vhdx (default: the ending of the name, else raw); only raw for devices and NBD',
      { placeholder: 'FORMAT', suggests: FORMATS },
    ),
    disks: field(
      withDefault(
        list(
          object({
            name: field(name, 'name of the disk'),
            where: field(disk, 'a file, a device or an NBD URI', { hostFile: NOT_A_FILE }),
          }),
          DISKS_MAX,
        ),
        [],
      ),
      'where this disk is written to: a file, a device or an NBD URI',
      { placeholder: 'DISK=TARGET' },
    ),
    whileRunning: field(
      withDefault(flag(), false),
      'copy the recovery point while the guest runs, report how long the rest will take, and copy what the guest ' +
        'wrote once the session is stopped',
    ),
    overwrite: field(withDefault(flag(), false), 'replace existing files'),
    erase: field(
      withDefault(list(line(256), DISKS_MAX), []),
      'overwrite the contents of a device: its serial number (its name, if it has none), typed out',
      { placeholder: 'SERIAL' },
    ),
  }),
  result: finalizedSession,
  cli: {
    args: ['session'],
    options: { disks: { name: 'disk', form: 'name=where' } },
    notes:
      'Shut the guest down and stop the session first, or, with --while-running, when the command asks for it. Exit ' +
      'code 6 if data of a disk is lost.',
    examples: [
      'session finalize web1-3f9c2a --to /srv/images --format qcow2',
      'session finalize web1-3f9c2a --disk vda=/dev/vg/web1 --disk vdb=nbd://storage/web1-data',
      'session finalize web1-3f9c2a --to /srv/images --while-running --queue',
    ],
  },
});

export const operations = [finalize] as const;
