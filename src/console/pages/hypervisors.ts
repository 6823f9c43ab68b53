import type { ShownHypervisor } from '../../operations/nouns/hypervisor.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { TextDialog } from '../state/dialog.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import type { HostedMachines, Model, Query } from '../state/model.ts';
import { COSTLY_MS, whole } from '../state/queries.ts';
import type { AnswerOf, Known } from '../state/service.ts';
import { columns, type Line, line, wrapped } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { damagedLines, listBody } from '../widgets/list-body.ts';
import { findingText } from '../widgets/findings.ts';
import { key, keysFor, type Page } from '../widgets/page.ts';
import { textDialog } from '../widgets/scrolled.ts';
import { confirmation, textWidth } from '../widgets/typed.ts';
import { machineBackupForm, machineScheduleForm } from './machine-forms.ts';
import { newHypervisorForm } from '../widgets/new-hypervisor.ts';
import { restoreForm } from './restore-forms.ts';
import { SETS } from './sets.ts';

/* Hosts from which machines are backed up; below, the machines of the chosen one with their last backups. */

export const HYPERVISORS = whole('hypervisors', 'hypervisor/list', { everyMs: COSTLY_MS });

/** Each answer is a connection to the hypervisor: seldom, and only while it is looked at. */
const MACHINES_MS = 60_000;

type Machines = ResultOf<'hypervisor/machines'>;

export const MACHINES: Query = {
  call(model) {
    const isSeen = model.screen === 'hypervisors' || model.screen === 'machines';
    const it = isSeen ? chosenHypervisor(model) : undefined;
    if (!it) return undefined;
    const request = { hypervisor: it.hypervisor, machine: undefined, check: false };
    return { name: 'hypervisor/machines', request };
  },
  isDue: (model) => model.nowMs - (hosted(model)?.atMs ?? -Infinity) >= MACHINES_MS,
  answered: (model, answer) =>
    withHosted(model, (answer as unknown as AnswerOf<'hypervisor/machines'>).result),
  // Asked again after the same time: a hypervisor that is away is not asked without end.
  refused: (model, message) => withHosted(model, message),
};

const WIDTHS = [18, 9, 16];
const onHypervisor = keysFor(chosenHypervisor, 'No hypervisor is chosen.');

export const hypervisorsPage: Page = {
  title: 'Hypervisors',
  keys: [
    onHypervisor('enter', 'open', (_it, model) => [{ ...model, screen: 'machines' }, []]),
    onHypervisor('t', 'test', ({ hypervisor }) => ({
      title: `test ${hypervisor}`,
      call: { name: 'hypervisor/test', request: { hypervisor, machine: undefined } },
    })),
    onHypervisor('b', 'backup', ({ hypervisor }, { sets }) =>
      machineBackupForm({ from: [`${hypervisor}/*`], sets }),
    ),
    onHypervisor('s', 'schedule', ({ hypervisor }, { sets }) =>
      machineScheduleForm({ from: [`${hypervisor}/*`], sets }),
    ),
    onHypervisor('r', 'restore', ({ hypervisor }, model) => restoreForm(model, { to: hypervisor })),
    key('n', 'new', () => newHypervisorForm()),
    onHypervisor('d', 'remove', ({ hypervisor }) =>
      confirmation({
        title: `remove hypervisor ${hypervisor}`,
        question: `Our key for ${hypervisor} is gone then. Its machines and their recovery points stay.`,
        word: 'remove',
        call: { name: 'hypervisor/remove', request: { hypervisor, force: false } },
      }),
    ),
  ],
  queries: [HYPERVISORS, MACHINES, SETS],
  list: { kind: 'rows', ids: (model) => idsOf(listed(model), (it) => it.hypervisor) },
  body: hypervisorsBody,
};

function listed({ hypervisors: it }: Model): Known<readonly ShownHypervisor[]> {
  return it.kind === 'known' ? { ...it, value: it.value.hypervisors } : it;
}

export function chosenHypervisor(model: Model): ShownHypervisor | undefined {
  return chosenOf(listed(model), model.chosen.hypervisors);
}

/** The machines of the chosen hypervisor, once they are known. */
export function hosted(model: Model): HostedMachines | undefined {
  const { hosted: it } = model;
  return it && it.hypervisor === chosenHypervisor(model)?.hypervisor ? it : undefined;
}

function withHosted(model: Model, answer: Machines | string): Model {
  const it = chosenHypervisor(model);
  if (!it) return model;
  const { nowMs: atMs } = model;
  const before = hosted(model)?.marked ?? [];
  // A machine that is gone cannot be backed up.
  const names = typeof answer === 'string' ? undefined : new Set(answer.machines.map(nameOf));
  const marked = before.filter((name) => names?.has(name) ?? true);
  return { ...model, hosted: { hypervisor: it.hypervisor, answer, marked, atMs } };
}

function nameOf({ machine }: Machines['machines'][number]): string {
  return machine;
}

/** Rows for the machines, with the lines that separate them. */
const MACHINE_ROWS = 9;

function hypervisorsBody(model: Model): readonly Line[] {
  const { size, hypervisors } = model;
  const it = chosenHypervisor(model);
  const above = { ...model, size: { ...size, rows: size.rows - MACHINE_ROWS } };
  const list = listBody(above, {
    known: listed(model),
    heading: columns(['HYPERVISOR', 'STATE', 'ANSWERED (UTC)', 'ADDRESS'], WIDTHS),
    none: 'No hypervisors: n adds one.',
    text: ({ hypervisor, uri, contact, failure }) => {
      const state = failure !== null ? 'FAILS' : contact === null ? 'not tried' : 'answers';
      return columns([hypervisor, state, contact === null ? '' : utc(contact), uri], WIDTHS);
    },
  });
  const damaged = hypervisors.kind === 'known' ? hypervisors.value.damaged : [];
  return [
    ...list,
    ...damagedLines(damaged, model),
    ...(it ? [[], ...machineLines(it, hosted(model)?.answer, model)] : []),
  ];
}

function machineLines(
  { hypervisor, product }: ShownHypervisor,
  answer: HostedMachines['answer'] | undefined,
  model: Model,
): Line[] {
  const runs = product === null ? '' : ` (${product})`;
  const title = line(` Machines of ${hypervisor}${runs}:`, 'strong');
  if (answer === undefined) return [title, line(' asking ...')];
  if (typeof answer === 'string') {
    const text = wrapped(answer, textWidth(model)).slice(0, MACHINE_ROWS - 2);
    return [title, ...text.map((it) => line(` ${it}`, 'bad'))];
  }
  const { machines } = answer;
  const shown = machines.slice(0, MACHINE_ROWS - 3).map(machineText);
  const more = machines.length - shown.length;
  return [
    title,
    ...(machines.length === 0 ? [line(' none')] : shown.map((it) => line(` ${it}`))),
    ...(more > 0 ? [line(` ... and ${more} more: Enter`)] : []),
  ];
}

const MACHINE_WIDTHS = [24, 10, 17, 12];

function machineText({ machine, power, last }: Machines['machines'][number]): string {
  return columns(
    last === null
      ? [machine, power, 'no backup']
      : [machine, power, utc(last.created), last.consistency ?? '', last.set],
    MACHINE_WIDTHS,
  );
}

export function testedDialog({
  hypervisor,
  ready,
  findings,
}: ResultOf<'hypervisor/test'>): TextDialog {
  const title = ready ? `Backups from ${hypervisor} can begin` : `${hypervisor} is not ready`;
  return textDialog(title, findings.map(findingText).join('\n'), !ready);
}
