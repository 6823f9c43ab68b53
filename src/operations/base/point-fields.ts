import { field, list, nullable, object, oneOf, optional } from '../../lib/schema.ts';
import { count, prose, time, word } from './fields.ts';

export const DISKS_MAX = 256;

const disks = list(
  object({
    name: field(word, 'name of the disk'),
    size: field(count, 'its size in bytes'),
    source: field(prose, 'where it was read from'),
  }),
  DISKS_MAX,
);
const level = oneOf('application', 'file-system', 'crash', 'off');
/** What lists and commands say of a recovery point. */
export const summary = {
  point: field(word, 'ID of the recovery point'),
  set: field(word, 'name of the backup set'),
  machine: field(word, 'name of the machine'),
  created: time('when it was created'),
  origin: field(oneOf('backup', 'session'), 'what it was created from'),
  parent: field(nullable(word), 'the recovery point on which it is based; null: none'),
  disks: field(disks, 'its disks'),
  readBytes: field(count, 'bytes that were read'),
  storedBytes: field(count, 'bytes of these that were new, compressed'),
  run: field(
    optional(word),
    'ID of the run; recovery points of several machines that one run created have the same',
  ),
  consistency: field(
    optional(
      object({
        asked: field(level, 'the state that was requested'),
        got: field(level, 'the state in which the disks were read'),
        why: field(optional(prose), 'the reason, if it is less'),
      }),
    ),
    'the state of the disks, if a hypervisor was asked: application (programs in the guest had written ' +
      'everything out), file-system (its file systems were frozen), crash (as after a power cut), off (the ' +
      'machine did not run)',
  ),
};
