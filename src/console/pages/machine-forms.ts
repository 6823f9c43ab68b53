import type { SetSummary } from '../../operations/nouns/set.ts';
import type { FormDialog } from '../state/dialog.ts';
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
  ];
  return {
    asks: fields.map((it) => `${at}request.${it}`),
    // Before the service has answered, and where there is no set, a name can be typed.
    fields: { [`${at}request.set`]: names.length === 0 ? {} : { choices: names } },
    meanings: { [`${at}request.window`]: WINDOWS },
    values: { [`${at}request.set`]: names[0] ?? '' },
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
