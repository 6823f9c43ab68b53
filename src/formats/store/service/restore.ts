import { flag, list, optional, text } from '../../../lib/schema.ts';
import { plainRecord } from '../base/plain-record.ts';

// A restore to a hypervisor that is under way. Grammar: restore.md.

const name = text({ max: 128, pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/, words: 'a name' });
/** As hypervisors name their machines and disks. */
const theirs = text({ max: 1024 });
const DISKS_MAX = 1024;

export const restoreFile = plainRecord('holdfast-restore', {
  /** The mark of all that it makes. */
  id: name,
  /** Its name in Holdfast. */
  hypervisor: name,
  /** By which the same restore, tried again, is known: what was asked. */
  asked: text({ max: 64 * 1024 }),
  started: text({ max: 64 }),
  /** By which the hypervisor is to know the machine. */
  uuid: theirs,
  /** The machine that was renamed for it. */
  aside: optional(theirs),
  /** The machine that is to have its disks: the restored one, or the one to which a disk is attached. */
  machine: optional(theirs),
  /** These disks, as the hypervisor names them. */
  disks: optional(list(theirs, DISKS_MAX)),
  /** The machine has them: what is of the restore is the hypervisor's now, and is not removed. */
  isWhole: optional(flag()),
});
export type RestoreRecord = ReturnType<typeof restoreFile.decode>;
