import { briefProof } from '../../client/proof-text.ts';
import type { ShownMachine } from '../../operations/nouns/hypervisor.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import type { HostedMachines, Model } from '../state/model.ts';
import { type Known, UNKNOWN } from '../state/service.ts';
import { columns, type Line, line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { listBody } from '../widgets/list-body.ts';
import { key, keysFor, type Outcome, type Page } from '../widgets/page.ts';
import { chosenHypervisor, hosted, HYPERVISORS, MACHINES } from './hypervisors.ts';
import { machineBackupForm, machineScheduleForm } from './machine-forms.ts';
import { restoreForm } from './restore-forms.ts';
import { SETS } from './sets.ts';

/* The machines of the hypervisor that is chosen on its page, with their last backups: to be marked and backed up. */

const NONE = 'No hypervisor is chosen: press Enter on one on the page Hypervisors.';

/** The most that one request takes. */
const MARKED_MAX = 256;
const WIDTHS = [1, 19, 7, 16, 11, 11];

interface OnHypervisor {
  readonly machine: ShownMachine;
  readonly of: HostedMachines;
}

const onMachine = keysFor((model): OnHypervisor | undefined => {
  const of = hosted(model);
  const machine = chosenOf(listed(model), model.chosen.machines);
  return of && machine && { machine, of };
}, 'No machine is chosen.');

export const machinesPage: Page = {
  title: 'Machines',
  keys: [
    onMachine('space', 'mark', mark),
    onMachine('b', 'back up', (it, model) => asking(it, model, machineBackupForm)),
    onMachine('s', 'schedule', (it, model) => asking(it, model, machineScheduleForm)),
    onMachine('t', 'test', ({ machine: { machine }, of: { hypervisor } }) => ({
      title: `test ${hypervisor}/${machine}`,
      call: { name: 'hypervisor/test', request: { hypervisor, machine } },
    })),
    // A machine that is lost is in no list: the form asks for its recovery point.
    key(
      'r',
      'restore',
      (model) => {
        const { last } = chosenOf(listed(model), model.chosen.machines) ?? {};
        const point = last ? { point: `${last.set}/${last.point}` } : {};
        return restoreForm(model, { ...point, to: chosenHypervisor(model)!.hypervisor });
      },
      (model) => (chosenHypervisor(model) ? undefined : NONE),
    ),
    key(['u', 'backspace'], 'up', (model) => [{ ...model, screen: 'hypervisors' }, []]),
  ],
  queries: [HYPERVISORS, MACHINES, SETS],
  list: { kind: 'rows', ids: (model) => idsOf(listed(model), ({ id }) => id) },
  body: machinesBody,
};

function listed(model: Model): Known<readonly ShownMachine[]> {
  const it = hosted(model);
  if (!it) return UNKNOWN;
  const { answer, atMs } = it;
  if (typeof answer === 'string') return { kind: 'refused', message: answer };
  return { kind: 'known', value: answer.machines, atMs };
}

/** The marked ones; without any, the chosen one. */
function meant({ machine, of: { hypervisor, marked } }: OnHypervisor): readonly string[] {
  const names = marked.length > 0 ? marked : [machine.machine];
  return names.map((it) => `${hypervisor}/${it}`);
}

/** The form; of a single machine the hypervisor is asked first which disks it has. */
function asking(it: OnHypervisor, { sets }: Model, formOf: typeof machineBackupForm): Outcome {
  const from = meant(it);
  const form = formOf({ from, sets });
  if (from.length > 1) return form;
  const { hypervisor, marked } = it.of;
  const machine = marked[0] ?? it.machine.machine;
  const request = { hypervisor, machine, check: true };
  const title = `disks of ${hypervisor}/${machine}`;
  return { title, call: { name: 'hypervisor/machines', request }, form };
}

function mark({ machine: { machine }, of }: OnHypervisor, model: Model): Outcome {
  const others = of.marked.filter((it) => it !== machine);
  const isMarked = others.length < of.marked.length;
  if (!isMarked && others.length >= MARKED_MAX) {
    return `At most ${MARKED_MAX} can be marked at once: back all of them up from the page Hypervisors.`;
  }
  const marked = isMarked ? others : [...others, machine];
  return [{ ...model, hosted: { ...of, marked } }, []];
}

function machinesBody(model: Model): readonly Line[] {
  const it = chosenHypervisor(model);
  if (!it) return [line(` ${NONE}`)];
  const marked = new Set(hosted(model)?.marked);
  const what = marked.size === 0 ? 'MACHINE' : `${marked.size} MARKED`;
  const title = `${what} (${it.hypervisor})`;
  return listBody(model, {
    known: listed(model),
    heading: columns(['', title, 'POWER', 'BACKUP (UTC)', 'CONSISTENCY', 'PROOF', 'SET'], WIDTHS),
    none: `${it.hypervisor} has no machines.`,
    text: (machine) => machineText(machine, marked.has(machine.machine)),
  });
}

function machineText({ machine, power, last, proof }: ShownMachine, isMarked: boolean): string {
  const backup =
    last === null
      ? ['no backup']
      : [utc(last.created), last.consistency ?? '', briefProof(proof), last.set];
  return columns([isMarked ? '*' : ' ', machine, power, ...backup], WIDTHS);
}
