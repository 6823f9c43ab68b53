import { marksText } from '../../client/marks-text.ts';
import { briefProof } from '../../client/proof-text.ts';
import type { PointSummary } from '../../operations/nouns/backup.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { Dialog, FormDialog } from '../state/dialog.ts';
import { chosenIn } from '../state/lists.ts';
import { type Model, noPoints } from '../state/model.ts';
import { valueOf } from '../state/service.ts';
import { COSTLY_MS, paged } from '../state/queries.ts';
import { columns, type Line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { pagedBody } from '../widgets/list-body.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { type DialogKind, key, keysFor, type Page } from '../widgets/page.ts';
import { escape, input, paragraph, typing } from '../widgets/typed.ts';
import { openFiles } from './files.ts';
import { HYPERVISORS } from './hypervisors.ts';
import { jobForm } from './jobs.ts';
import { showProof, verifyForm } from './proof.ts';
import { restoreForm } from './restore-forms.ts';
import { runOnForm } from './run-form.ts';

/* All recovery points, a search among them, and the form that recovers one. */

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
    onPoint('h', 'run', (it, { hypervisors }) =>
      runOnForm({ ...it, point: nameOf(it) }, valueOf(hypervisors)?.hypervisors),
    ),
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
    heading: columns(['CREATED (UTC)', 'MACHINE', 'SET', 'FROM', 'PROOF', 'KEPT, DISKS'], WIDTHS),
    note: `${search}${lost}`,
    text({ created, machine, set, origin, proof, disks, marks }) {
      const sizes = disks.map(({ name, size }) => `${name} ${formatSize(size)}`).join(', ');
      // What keeps a point comes before its sizes: a narrow screen cuts off the end.
      const rest = [marksText(marks), sizes].filter((it) => it !== '').join('; ');
      return columns([utc(created), machine, set, origin, briefProof(proof), rest], WIDTHS);
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
