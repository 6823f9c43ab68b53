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
import { cards } from '../base/cards.ts';
import { count, line, name, point, prose, word } from '../base/fields.ts';
import { mutation } from '../base/operation.ts';
import { DISKS_MAX } from '../base/point-fields.ts';
import { findings, hypervisorName } from './hypervisor.ts';

/* Machines and disks of recovery points, written back to hypervisors. */

/** As hypervisors name what they have. */
const theirs = line(256);

const to = hypervisorName;
const pool = field(optional(theirs), 'pool for the disks; default: where they were', {
  placeholder: 'POOL',
});
const dryRun = field(
  withDefault(flag(), false),
  'change nothing: show the result, and what stands in the way',
);
const outcome = {
  point: field(word, 'ID of the recovery point'),
  hypervisor: field(word, 'name of the hypervisor'),
  findings,
  ready: field(flag(), 'whether nothing stands in the way'),
  restored: field(flag(), 'whether it was restored'),
  pool: field(nullable(prose), 'the pool of its disks; null: none is known'),
};

const machine = mutation('restore/machine', {
  summary: 'Write a machine back to a hypervisor',
  description:
    'Everything is checked before anything is changed. The disks are written, read back and compared; then the ' +
    'machine is defined, and is off. If interrupted, the command leaves nothing. The machine keeps its UUID if no ' +
    'other machine has it; otherwise it gets a new one.',
  runs: 'worker',
  changes: ['hypervisor'],
  key: 'opens',
  passkey: 'asked',
  lockdown: 'allowed',
  job: { kind: 'restore-machine' },
  request: object({
    point,
    to,
    name: field(optional(theirs), "name of the machine; default: the machine's own", {
      placeholder: 'NAME',
    }),
    pool,
    ...cards,
    replace: field(
      optional(oneOf('keep')),
      'replace the machine that has its name or UUID, which must be off; keep: the old one stays, renamed',
      { placeholder: 'keep' },
    ),
    powerOn: field(withDefault(flag(), false), 'start the machine afterwards'),
    dryRun,
  }),
  result: object({
    ...outcome,
    machine: field(nullable(prose), 'its name there; null: not known'),
    id: field(nullable(word), 'its UUID there'),
    started: field(flag(), 'whether it was started'),
    replaced: field(nullable(prose), 'the name that the replaced machine has now; null: none was'),
    disks: field(
      list(
        object({
          disk: field(word, 'name of the disk'),
          size: field(count, 'its size in bytes'),
          source: field(prose, 'where it is on the hypervisor'),
          writtenBytes: field(count, 'bytes that were written'),
        }),
        DISKS_MAX,
      ),
      'its disks, as they were written',
    ),
  }),
  cli: {
    args: ['point'],
    options: { networks: { name: 'network', form: 'name=where' } },
    examples: [
      'restore machine web1@latest --to kvm1 --dry-run',
      'restore machine web1@latest --to kvm1 --replace keep --power-on',
      'restore machine web1@latest --to kvm2 --name web1-test --pool fast --network lan=none --queue',
    ],
  },
});

const machineDisk = mutation('restore/machine-disk', {
  summary: 'Write a disk into a pool of a hypervisor',
  description:
    'The written data is read back and compared. The disk can be attached to a machine there, also while the machine ' +
    'runs. If interrupted, the command leaves nothing.',
  runs: 'worker',
  changes: ['hypervisor'],
  key: 'opens',
  passkey: 'asked',
  lockdown: 'allowed',
  job: { kind: 'restore-machine-disk' },
  request: object({
    point,
    disk: field(name, 'name of the disk', { placeholder: 'DISK', names: 'disks' }),
    to,
    pool,
    attachTo: field(optional(theirs), 'name or ID of a machine there: the disk is attached to it', {
      placeholder: 'MACHINE',
    }),
    dryRun,
  }),
  result: object({
    ...outcome,
    disk: field(word, 'name of the disk'),
    size: field(nullable(count), 'its size in bytes; null: this command did not write it'),
    source: field(
      nullable(prose),
      'where it is on the hypervisor; null: this command did not write it',
    ),
    writtenBytes: field(count, 'bytes that were written'),
    machine: field(nullable(prose), 'the machine that has it; null: none'),
    target: field(nullable(word), 'name of the disk in that machine; null: none'),
  }),
  cli: {
    args: ['point', 'disk'],
    examples: [
      'restore machine-disk web1@latest vdb --to kvm1 --attach-to web1',
      'restore machine-disk web1@latest vdb --to kvm1 --pool fast',
    ],
  },
});

export const operations = [machine, machineDisk] as const;
