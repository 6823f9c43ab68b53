import type { RequestOf } from '../../operations/operations.ts';
import type { FormDialog, FormField, FormValues } from '../state/dialog-model.ts';

/* Backups and checks, at once as a job of the service or at certain times. */

/** What is known already. */
export interface JobHints {
  readonly set?: string;
  readonly machine?: string;
  readonly disks?: readonly { readonly name: string; readonly source: string }[];
}

type Job = RequestOf<'job/create'>;

const isBackup = ({ kind }: FormValues): boolean => kind === 'backup';

const KEEPS = [
  ['last', 'Keep last', 'so many of the newest recovery points of this machine stay'],
  ['daily', 'Keep daily', 'the newest of so many days that have one'],
  ['weekly', 'Keep weekly', 'the newest of so many weeks that have one'],
  ['monthly', 'Keep monthly', 'the newest of so many months that have one'],
  ['yearly', 'Keep yearly', 'the newest of so many years that have one'],
] as const;

const JOB_FIELDS: readonly FormField[] = [
  {
    ...{ name: 'kind', label: 'What', choices: ['backup', 'check'] },
    note: 'backup: a new recovery point; check: look for damage in the store',
  },
  { name: 'set', label: 'Backup set', note: 'as on screen Sets', matters: isBackup },
  { name: 'machine', label: 'Machine', note: 'what it is called here', matters: isBackup },
  {
    ...{ name: 'disks', label: 'Disks', matters: isBackup },
    note: 'vda=/images/web1.qcow2, vdb=nbd://HOST:PORT/EXPORT: images, devices, NBD',
  },
  {
    ...{ name: 'changed', label: 'Changed blocks', matters: isBackup },
    note: 'file of a changed-block list; empty: all is read, and what is new stored',
  },
  ...KEEPS.map(
    ([name, label, note]): FormField => ({
      ...{ name, label, matters: isBackup },
      note: `${note}; all empty: nothing is forgotten`,
    }),
  ),
  {
    ...{ name: 'readData', label: 'Read all data', choices: ['no', 'yes'] },
    note: 'every block as well, not only what leads to it',
    matters: ({ kind }) => kind === 'check',
  },
];

const SCHEDULE_FIELDS: readonly FormField[] = [
  { name: 'schedule', label: 'Name', note: 'of the schedule: letters, digits, . _ -' },
  {
    ...{ name: 'at', label: 'When' },
    note: "daily, hourly, 'Mon..Fri 02:30', '*-*-01 04:00'; local time, or UTC behind it",
  },
  ...JOB_FIELDS,
];

function hinted({ set = '', machine = '', disks = [] }: JobHints): FormValues {
  return {
    ...{ kind: 'backup', set, machine, readData: 'no', changed: '' },
    disks: disks.map(({ name, source }) => `${name}=${source}`).join(', '),
    ...{ last: '', daily: '', weekly: '', monthly: '', yearly: '' },
  };
}

export function jobForm(hints: JobHints = {}): FormDialog {
  return {
    ...{ kind: 'form', title: 'A new job', field: 0, problem: '', values: hinted(hints) },
    form: {
      ...{ does: 'start it', fields: JOB_FIELDS },
      submit(values) {
        const job = jobOf(values);
        if (typeof job === 'string') return job;
        return { title: `start ${workOf(job)}`, call: { name: 'job/create', request: job } };
      },
    },
  };
}

export function scheduleForm(hints: JobHints = {}): FormDialog {
  return {
    ...{ kind: 'form', title: 'A new schedule', field: 0, problem: '' },
    values: { schedule: '', at: 'daily', ...hinted(hints) },
    form: {
      ...{ does: 'make it', fields: SCHEDULE_FIELDS },
      submit(values) {
        const { schedule = '', at = '' } = values;
        if (schedule.trim() === '') return 'The schedule needs a name.';
        const job = jobOf(values);
        if (typeof job === 'string') return job;
        const request = { schedule: schedule.trim(), at: at.trim(), job };
        return {
          title: `schedule ${request.schedule}`,
          call: { name: 'schedule/create', request },
        };
      },
    },
  };
}

/** What is asked of the service, or what is wrong. */
function jobOf(values: FormValues): Job | string {
  const text = (name: string): string => (values[name] ?? '').trim();
  if (values['kind'] === 'check') {
    return { kind: 'check', request: { readData: values['readData'] === 'yes' } };
  }
  const disks = disksOf(text('disks'));
  if (typeof disks === 'string') return disks;
  const [set, machine, changed] = [text('set'), text('machine'), text('changed')];
  if (set === '' || machine === '') return 'A backup needs a set and the name of a machine.';
  const retention = retentionOf(text);
  if (typeof retention === 'string') return retention;
  const place = { format: undefined, changed: changed === '' ? undefined : changed };
  return { kind: 'backup', request: { set, machine, disks, ...place, retention } };
}

function disksOf(text: string): Extract<Job, { kind: 'backup' }>['request']['disks'] | string {
  const parts = text.split(/,\s*/).filter((it) => it !== '');
  if (parts.length === 0) return 'A backup needs disks: NAME=IMAGE, and a comma before the next.';
  const disks = parts.map((part) => {
    const at = part.indexOf('=');
    return { name: part.slice(0, Math.max(at, 0)).trim(), where: part.slice(at + 1).trim() };
  });
  const wrong = disks.findIndex(({ name, where }) => name === '' || where === '');
  return wrong < 0 ? disks : `"${parts[wrong]}" is not NAME=IMAGE.`;
}

function retentionOf(text: (name: string) => string) {
  const counts = KEEPS.map(([name]) => text(name));
  if (counts.every((it) => it === '')) return undefined;
  const wrong = counts.findIndex((it) => !/^\d{0,5}$/.test(it));
  if (wrong >= 0) return `${KEEPS[wrong]![1]}: a number, or nothing.`;
  const [last = 0, daily = 0, weekly = 0, monthly = 0, yearly = 0] = counts.map(Number);
  return { last, daily, weekly, monthly, yearly };
}

function workOf(job: Job): string {
  return job.kind === 'backup' ? `backup of ${job.request.machine}` : job.kind;
}
