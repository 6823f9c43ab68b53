import {
  field,
  flag,
  integer,
  list,
  type Of,
  object,
  oneOf,
  optional,
  text,
  withDefault,
} from '../../lib/schema.ts';
import { describedMachine } from '../base/described-machine.ts';
import {
  count,
  damage,
  damaged,
  first,
  line,
  MANY,
  machineName,
  name,
  PATH_MAX,
  point,
  prose,
  setName,
  word,
} from '../base/fields.ts';
import { pointMarks } from '../base/marks.ts';
import { mutation, query } from '../base/operation.ts';
import { DISKS_MAX, summary } from '../base/point-fields.ts';
import { lastProof, shownLastProof } from '../base/proofs.ts';
import { retention } from '../base/retention.ts';

/* Recovery points: made, listed and forgotten. */

export const FORMATS = ['raw', 'qcow2', 'vmdk', 'vdi', 'vhd', 'vhdx'];
const PAGE_MAX = 500;
/** A disk: a file, a device, or an export of an NBD server. */
export const disk = line(PATH_MAX);
/** Also no export whose URI names files: a socket, certificates, keys. */
export const NOT_A_FILE = /^nbds?:\/\/[^?]*(?:\?(?:tls-(?:fingerprint|hostname)=[\w.:-]*&?)*)?$/;

const pointSummary = object({ ...summary, marks: pointMarks, proof: lastProof });
export type PointSummary = Of<typeof pointSummary>;

/** No hypervisor's own is longer: its files of several machines are. */
const DEFINITION_MAX = 4 * 1024 * 1024;
const FILES_MAX = 64;

const shownPoint = object({
  ...summary,
  files: field(
    list(
      object({
        name: field(prose, 'name of the file'),
        kind: field(word, 'description, definition, firmware-vars or tpm-state'),
        size: field(count, 'its size in bytes'),
      }),
      FILES_MAX,
    ),
    'files that belong to the machine; in an encrypted set they are encrypted, like its disks',
  ),
  marks: pointMarks,
  proof: shownLastProof,
  description: field(optional(describedMachine), 'the machine, as its hypervisor described it'),
  unreadable: field(optional(prose), 'why the description of the machine cannot be read'),
  definition: field(
    optional(text({ max: DEFINITION_MAX, min: 0 })),
    "the hypervisor's own definition of the machine, verbatim, if it was asked for",
  ),
});
export type ShownPoint = Of<typeof shownPoint>;

const madePoint = object({
  ...summary,
  scopes: field(
    list(
      object({
        disk: field(word, 'name of the disk'),
        scope: field(oneOf('changes', 'all'), 'what was read of it'),
        reason: field(prose, 'why'),
      }),
      DISKS_MAX,
    ),
    'what was read of each disk',
  ),
  damage,
});
export type MadePoint = Of<typeof madePoint>;
export type Damage = MadePoint['damage'][number];

const format = field(
  optional(line(32)),
  'format of the images: raw, qcow2, vmdk, vdi, vhd or vhdx (default: as the image itself states; ' +
    'refused if it consists of several files)',
  { placeholder: 'FORMAT', suggests: FORMATS },
);
const backup = {
  set: setName,
  machine: machineName,
  disks: field(
    list(
      object({
        name: field(name, 'name of the disk'),
        where: field(disk, 'a file, a device or an NBD URI', { hostFile: NOT_A_FILE }),
      }),
      DISKS_MAX,
      1,
    ),
    'a file, a block device, or nbd://HOST:PORT/EXPORT, nbd+unix:///EXPORT?socket=PATH; with TLS nbds://... and ' +
      'nbds+unix://...?tls-certificates=DIR',
    { placeholder: 'NAME=IMAGE' },
  ),
  format,
  changed: field(
    optional(line(PATH_MAX)),
    'read only these changed blocks; JSON: [{"offset": 0, "length": 65536}, ...] or {"vda": [...], ...} ' +
      'counts from the newest backup of the machine, {"since": "POINT", "disks": ...} from that recovery ' +
      'point',
    { placeholder: 'FILE', hostFile: true, label: 'Changed blocks' },
  ),
};

/** Only for jobs and schedules. */
const retained = {
  retention: field(optional(retention), 'afterwards, backups that no rule keeps are forgotten'),
  thenVerify: field(optional(flag()), 'afterwards, boot each new point in isolation, as a job', {
    label: 'Then verify',
  }),
};

const create = mutation('backup/create', {
  summary: 'Create a recovery point',
  description:
    'The disks of an image, a device or an NBD server make up one recovery point. If interrupted, the command ' +
    'publishes nothing; if repeated, it reuses what was stored. If the list of changes cannot be used for a disk, ' +
    'the disk is read whole, and named with the reason.',
  runs: 'worker',
  changes: ['backup'],
  key: 'opens',
  passkey: 'not asked',
  job: { kind: 'backup', also: retained },
  request: object(backup),
  result: madePoint,
  cli: {
    args: ['set'],
    options: { disks: { name: 'disk', form: 'name=where' }, retention: { spread: 'keep-' } },
    examples: [
      'backup create nightly --machine web1 --disk vda=/images/web1.qcow2',
      'backup create nightly --machine web1 --disk vda=/dev/vg/web1 --queue --keep-daily 7',
    ],
  },
});

const CONSISTENCY = ['application', 'file-system', 'crash'] as const;
const FROM_MAX = 256;
const WINDOW_SECONDS_MAX = 7 * 24 * 3600;

const fromHypervisors = {
  set: setName,
  from: field(
    list(
      text({
        max: 512,
        pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*\/\P{Cc}+$/u,
        words: 'HYPERVISOR/MACHINE, such as kvm1/web1 or kvm1/web*',
      }),
      FROM_MAX,
      1,
    ),
    'machines to back up; * stands for any part of a name',
    { placeholder: 'HYPERVISOR/MACHINE', label: 'Machines' },
  ),
  machine: field(
    optional(name),
    'name of the machine in the backup set (default: its name on the hypervisor)',
    { placeholder: 'MACHINE', names: 'machines' },
  ),
  only: field(optional(list(name, DISKS_MAX, 1)), 'back up only these disks', {
    ...{ placeholder: 'DISK', label: 'Only disks' },
  }),
  exclude: field(optional(list(name, DISKS_MAX)), 'leave out these disks', {
    ...{ placeholder: 'DISK', label: 'Without disks' },
  }),
  consistency: field(
    withDefault(oneOf(...CONSISTENCY), 'file-system'),
    'application: programs in the guest write everything out first; file-system: its file systems are frozen for a ' +
      'moment; crash: as after a power cut',
    { placeholder: 'LEVEL' },
  ),
  strict: field(
    withDefault(flag(), false),
    'fail if the guest cannot be brought into that state (default: make the backup, and record why)',
  ),
  window: field(
    optional(integer(1, WINDOW_SECONDS_MAX)),
    'in seconds, from when the run is due: machines whose backup has not begun by then are left to the next run',
    { placeholder: 'TIME', label: 'Window' },
  ),
};

const machine = mutation('backup/machine', {
  summary: 'Create recovery points of machines of a hypervisor',
  description:
    'All disks of a machine are read as they were at one moment, while it keeps running. Only what has changed ' +
    'since its ' +
    'last recovery point is read, if the hypervisor can tell that; otherwise all is read, and the reason is given.',
  changes: ['backup', 'hypervisor'],
  runs: 'worker',
  key: 'opens',
  passkey: 'not asked',
  job: {
    kind: 'backup-machine',
    also: retained,
  },
  request: object(fromHypervisors),
  result: object({
    run: field(word, 'ID of this run: its recovery points have it too'),
    points: field(list(madePoint, MANY), 'the recovery points'),
    failed: field(
      list(
        object({
          machine: field(word, 'as HYPERVISOR/MACHINE'),
          reason: field(prose, 'why there is no recovery point of it'),
        }),
        MANY,
      ),
      'machines that were not backed up',
    ),
  }),
  cli: {
    args: ['set'],
    options: {
      only: { name: 'disk' },
      window: { form: 'duration' },
      retention: { spread: 'keep-' },
    },
    examples: [
      'backup create nightly --from kvm1/web1',
      "backup create nightly --from 'kvm1/*' --exclude swap --queue --window 6h --keep-daily 7",
    ],
  },
});

const list_ = query('backup/list', {
  summary: 'List recovery points',
  description: 'Needs no key. Oldest first.',
  runs: 'store',
  request: object({
    set: field(optional(name), 'only of this backup set', { placeholder: 'SET', names: 'sets' }),
    machine: field(optional(name), 'only the backups of this machine', {
      ...{ placeholder: 'MACHINE', names: 'machines' },
    }),
    run: field(optional(name), 'only of this run', { placeholder: 'RUN' }),
  }),
  result: object({ points: field(list(pointSummary, MANY), 'recovery points'), damaged }),
  cli: { args: ['set'], examples: ['backup list', 'backup list nightly --machine web1'] },
});

const page = query('backup/page', {
  summary: 'List some recovery points, newest first',
  runs: 'store',
  request: object({
    set: field(optional(name), 'only of this backup set'),
    machine: field(optional(name), 'only the backups of this machine'),
    contains: field(optional(line(128)), 'only those with this in their ID'),
    first: first('how many newer ones to skip'),
    count: field(withDefault(integer(1, PAGE_MAX), 100), 'how many'),
  }),
  result: object({
    points: field(list(pointSummary, MANY), 'recovery points'),
    total: field(count, 'how many there are'),
    first: field(count, 'how many newer ones were skipped'),
    damaged,
  }),
});

const show = query('backup/show', {
  summary: 'Show a recovery point',
  description:
    'Needs the key of its set: the record is authenticated before it is shown, and the description of the machine is ' +
    'encrypted. "backup list --json" shows the rest without a key, also the run and the consistency.',
  runs: 'store',
  key: 'opens',
  passkey: 'for what is guarded',
  guarded: ['definition'],
  request: object({
    point,
    definition: field(
      optional(flag()),
      "the hypervisor's own definition of the machine, verbatim: it may contain passwords, so only who may manage " +
        'Holdfast gets it',
    ),
  }),
  result: shownPoint,
  cli: {
    args: ['point'],
    notes: 'With --definition, only that is printed.',
    examples: ['backup show web1@latest', 'backup show web1@latest --definition > web1.xml'],
  },
});

const forget = mutation('backup/forget', {
  summary: 'Forget a recovery point',
  description:
    'Its blocks stay in the store until a sweep. The command is refused while a session runs from the point, or ' +
    'while it is protected, held or locked; the message says what to do about each. Processes that ' +
    'are reading from it can finish. If the point was deleted by other means, "store check" no longer reports it ' +
    'after this command.',
  runs: 'store',
  changes: ['backup'],
  request: object({
    point: field(line(512), 'the whole ID: the beginning of one is not enough', {
      ...{ placeholder: 'POINT', names: 'points' },
    }),
  }),
  result: object({ point: field(word, 'ID of the recovery point') }),
  cli: {
    args: ['point'],
    says: 'Recovery point {point} is forgotten.',
    examples: ['backup forget web1-20261129T020000Z-3f9c2a'],
  },
});

export const operations = [create, machine, list_, page, show, forget] as const;
