import type { SetSummary } from '../../operations/nouns/set.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { ShownMachine } from '../../operations/nouns/hypervisor.ts';
import type { FormDialog, FormField } from '../state/dialog.ts';
import type { Known } from '../state/service.ts';
import { operationForm } from '../widgets/operation-form.ts';

/* Machines of a hypervisor are backed up now, or at certain times: the same questions. */

interface Machines {
  /** As HYPERVISOR/MACHINE, or with `*`. */
  readonly from: readonly string[];
  readonly sets: Known<readonly SetSummary[]>;
}

const HOUR = 3600;
const WINDOWS = {
  none: undefined,
  ...{ '2 hours': 2 * HOUR, '4 hours': 4 * HOUR, '8 hours': 8 * HOUR, '12 hours': 12 * HOUR },
};

const KIND = 'backup-machine';

/** `at` precedes the names of the fields if the job is a part of the request. */
function questions({ from, sets }: Machines, at = '') {
  const names = sets.kind === 'known' ? sets.value.map(({ set }) => set) : [];
  const isOne = from.length === 1 && !from[0]!.includes('*');
  const rules = ['last', 'daily', 'weekly', 'monthly', 'yearly'].map((it) => `retention.${it}`);
  const fields = [
    ...['set', ...(isOne ? ['machine'] : []), 'exclude', 'consistency', 'strict', 'window'],
    ...rules,
    'thenVerify',
  ];
  return {
    asks: fields.map((it) => `${at}request.${it}`),
    // Before the service has answered, and where there is no set, a name can be typed.
    fields: { [`${at}request.set`]: names.length === 0 ? {} : { choices: names } },
    meanings: { [`${at}request.window`]: WINDOWS },
    values: { [`${at}request.set`]: names[0] ?? '' },
  };
}

/** As many as fit on a small screen, below the other fields; of more, names are typed. */
const DISKS_MAX = 6;

/** The form with a field for each disk, in the place of the one for names of disks to leave out. */
export function withDisks(it: FormDialog, { disks }: Pick<ShownMachine, 'disks'>): FormDialog {
  const at = it.form.fields.findIndex(({ name }) => name.endsWith('request.exclude'));
  if (!disks || disks.length > DISKS_MAX || at < 0) return it;
  const { name: exclude } = it.form.fields[at]!;
  const fields = disks.map(({ disk, size, excluded }): FormField => {
    const about = size === null ? 'of unknown size' : formatSize(size);
    return {
      ...{ name: `disk ${disk}`, label: `Disk ${disk}` },
      note: excluded ?? `whether it is backed up; ${about}`,
      choices: excluded === null ? ['yes', 'no'] : ['no'],
    };
  });
  const chosen = fields.map(({ name, choices }) => [name, choices![0]!] as const);
  const submit: FormDialog['form']['submit'] = (values) => {
    const left = disks.filter(
      ({ disk, excluded }) => excluded === null && values[`disk ${disk}`] === 'no',
    );
    return it.form.submit({ ...values, [exclude]: left.map(({ disk }) => disk).join(' ') });
  };
  return {
    ...it,
    form: { ...it.form, fields: it.form.fields.toSpliced(at, 1, ...fields), submit },
    values: { ...it.values, ...Object.fromEntries(chosen) },
  };
}

const NAMED_MAX = 3;

function words(from: readonly string[]): string {
  const more = from.length > NAMED_MAX ? ` and ${from.length - NAMED_MAX} more` : '';
  return `${from.slice(0, NAMED_MAX).join(', ')}${more}`;
}

export function machineBackupForm(machines: Machines): FormDialog {
  const { from } = machines;
  return operationForm('job/create', {
    title: `Back up ${words(from)}`,
    does: 'start it',
    given: { kind: KIND, request: { from } },
    ...questions(machines),
    task: () => `start backup of ${words(from)}`,
  });
}

export function machineScheduleForm(machines: Machines): FormDialog {
  const { from } = machines;
  const job = questions(machines, 'job.');
  return operationForm('schedule/create', {
    title: `A schedule for ${words(from)}`,
    does: 'create it',
    given: { job: { kind: KIND, request: { from } } },
    ...job,
    asks: ['schedule', 'at', ...job.asks],
    values: { at: 'daily', ...job.values },
    task: ({ schedule }) => `schedule ${schedule}`,
  });
}
