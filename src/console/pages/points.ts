import { briefProof } from '../../client/proof-text.ts';
import type { PointSummary } from '../../operations/nouns/backup.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { Dialog, FormDialog, FormValues } from '../state/dialog.ts';
import { chosenIn } from '../state/lists.ts';
import { type Model, noPoints } from '../state/model.ts';
import { COSTLY_MS, paged } from '../state/queries.ts';
import { columns, type Line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { offeredNetworks, offeredPools } from '../widgets/learned.ts';
import { pagedBody } from '../widgets/list-body.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { type DialogKind, key, keysFor, type Page } from '../widgets/page.ts';
import { escape, input, paragraph, typing } from '../widgets/typed.ts';
import { openFiles } from './files.ts';
import { HYPERVISORS } from './hypervisors.ts';
import { jobForm } from './jobs.ts';
import { showProof, verifyForm } from './proof.ts';
import { restoreForm } from './restore-forms.ts';

/* All recovery points, a search among them, and the forms that run one: on any host, or on a hypervisor. */

const POINTS = paged('points', {
  call({ points: { filter } }, window) {
    const contains = filter === '' ? undefined : filter;
    return {
      name: 'backup/page',
      request: { set: undefined, machine: undefined, contains, ...window },
    };
  },
  everyMs: COSTLY_MS,
  page: ({ points, ...place }) => ({ ...place, rows: points }),
  idOf: ({ point }) => point,
  also: ({ points }, { damaged }) => ({ points: { ...points, damaged } }),
});

const WIDTHS = [16, 18, 10, 7, 12];
const onPoint = keysFor(({ points }) => chosenIn(points), 'No recovery point is chosen.');

export const pointsPage: Page = {
  title: 'Points',
  keys: [
    onPoint('enter', 'recover', (it) => runForm(nameOf(it))),
    onPoint('h', 'run', (it, model) => runOnForm(it, model)),
    onPoint('r', 'restore', (it, model) => {
      const disks = it.disks.map(({ name }) => name);
      return restoreForm(model, { point: nameOf(it), disks });
    }),
    onPoint('f', 'files', (it) => openFiles(nameOf(it))),
    onPoint('v', 'proof', (it) => (it.proof ? showProof(nameOf(it)) : verifyForm(nameOf(it)))),
    key(
      '/',
      'find',
      ({ points }) => ({ kind: 'filter', typed: points.filter }),
      ({ points }) => (points.filter === '' ? undefined : 'Press Esc first: all are shown again.'),
    ),
    onPoint('b', 'backup', jobForm),
    key(
      'escape',
      'all',
      (model) => [{ ...model, points: noPoints('') }, []],
      ({ points }) => (points.filter === '' ? '' : undefined),
    ),
  ],
  queries: [POINTS, HYPERVISORS],
  list: { kind: 'paged', name: 'points' },
  body: pointsBody,
};

function nameOf({ set, point }: PointSummary): string {
  return `${set}/${point}`;
}

function pointsBody(model: Model): readonly Line[] {
  const { filter, damaged } = model.points;
  const search = filter === '' ? '' : `, with "${filter}" in their ID (Esc: all)`;
  const lost = damaged.length > 0 ? `, ${damaged.length} DAMAGED near here` : '';
  return pagedBody(model, model.points, {
    heading: columns(['CREATED (UTC)', 'MACHINE', 'SET', 'FROM', 'PROOF', 'DISKS'], WIDTHS),
    note: `${search}${lost}`,
    text({ created, machine, set, origin, proof, disks }) {
      const sizes = disks.map(({ name, size }) => `${name} ${formatSize(size)}`).join(', ');
      return columns([utc(created), machine, set, origin, briefProof(proof), sizes], WIDTHS);
    },
  });
}

/** The longest ID that the protocol allows. */
const FILTER_MAX = 128;

export const filterKind: DialogKind<Extract<Dialog, { kind: 'filter' }>> = {
  keys: ({ typed }) => [
    key('enter', 'search', (model) => [
      { ...model, dialog: undefined, points: noPoints(typed) },
      [],
    ]),
    escape('back'),
  ],
  typed: typing(FILTER_MAX),
  body: ({ typed }, model) => [
    [],
    ...paragraph('Recovery points with this in their ID (machine, date):', model),
    ...input(typed, model),
  ],
};

/** The form that runs a recovery point. */
function runForm(point: string): FormDialog {
  return operationForm('session/start', {
    title: `Recover ${point}`,
    does: 'recover',
    asks: [
      'listen',
      'tls.kind',
      'tls.directory',
      'tls.path',
      'nfs',
      'nfs.allow',
      'nfs.host',
      'nfs.points',
      'nfs.squash',
      'whenFull',
    ],
    given: { point },
    task: () => `recover ${point}`,
  });
}

/** The other values are those of the field that it begins with. */
const ITS_BACKUP = 'all of its backup';

/** With the only hypervisor filled in, Enter is enough. */
function runOnForm(it: PointSummary, { hypervisors }: Model): FormDialog {
  const point = nameOf(it);
  const known = hypervisors.kind === 'known' ? hypervisors.value.hypervisors : [];
  const names = known.map(({ hypervisor }) => hypervisor);
  const isOne = (values: FormValues): boolean =>
    values['also'] === '' && values['all'] !== ITS_BACKUP;
  const areSeveral = (values: FormValues): boolean => !isOne(values);
  return operationForm('session/run', {
    title: `Run ${point} on a hypervisor`,
    does: 'run',
    asks: [
      ...['on', 'powerOn', ...(it.run === undefined ? [] : ['all']), 'also', 'delay', 'heartbeat'],
      ...['name', 'replace', 'pool', 'networks', 'isolated', 'migrate'],
    ],
    given: { points: [point] },
    values: { on: names[0] ?? '', powerOn: 'yes', all: 'this one' },
    fields: {
      ...(names.length === 0 ? {} : { on: { choices: names } }),
      all: {
        ...{ label: 'Machines', choices: ['this one', ITS_BACKUP] },
        note: 'whether the other machines of the backup that made this point run, too: this one starts first',
      },
      also: {
        label: 'Then',
        note: 'further recovery points with spaces between them, which start after it: web1@latest db1@latest',
      },
      delay: { matters: areSeveral },
      heartbeat: { matters: areSeveral },
      name: { matters: isOne },
      pool: { offers: offeredPools },
      networks: { offers: offeredNetworks },
    },
    meanings: { replace: { no: undefined, keep: 'keep', delete: 'delete' } },
    about: ({ on = '' }) => ({ hypervisor: on, point }),
    made: (request, { also = '', all }) => ({
      ...request,
      points: [point, ...also.split(/[\s,]+/).filter((other) => other !== '')],
      ...(all === ITS_BACKUP && { run: it.run }),
    }),
    task: ({ on }) => `run ${point} on ${on}`,
  });
}
