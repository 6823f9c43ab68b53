import type { PointSummary } from '../../operations/backup.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { RequestOf } from '../../operations/operations.ts';
import type { Dialog, Form, FormDialog, FormValues } from '../state/dialog.ts';
import { chosenIn } from '../state/lists.ts';
import { type Model, noPoints, withDialog } from '../state/model.ts';
import { COSTLY_MS, paged } from '../state/queries.ts';
import { columns, type Line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { formDialog, listed } from '../widgets/form.ts';
import { pagedBody } from '../widgets/list-body.ts';
import { type DialogKind, key, keysFor, type Page } from '../widgets/page.ts';
import { escape, input, paragraph, typing } from '../widgets/typed.ts';
import { openFiles } from './files.ts';
import { jobForm } from './jobs.ts';

/* All recovery points, a search in them, and how one is run. */

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

const WIDTHS = [16, 20, 12, 7];
const onPoint = keysFor(({ points }) => chosenIn(points), 'No recovery point is chosen.');

export const pointsPage: Page = {
  title: 'Points',
  keys: [
    onPoint(['enter', 'r'], 'run it', (model, it) => withDialog(model, runForm(nameOf(it)))),
    onPoint('f', 'files', (model, it) => openFiles(model, nameOf(it))),
    key('/', 'search', (model) =>
      withDialog(model, { kind: 'filter', typed: model.points.filter }),
    ),
    onPoint('b', 'back up again', (model, it) => withDialog(model, jobForm(it))),
    key(
      'escape',
      'all',
      (model) => [{ ...model, points: noPoints('') }, []],
      ({ points }) => (points.filter === '' ? '' : undefined),
    ),
  ],
  queries: [POINTS],
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
    heading: columns(['CREATED (UTC)', 'MACHINE', 'SET', 'FROM', 'DISKS'], WIDTHS),
    note: `${search}${lost}`,
    text({ created, machine, set, origin, disks }) {
      const sizes = disks.map(({ name, size }) => `${name} ${formatSize(size)}`).join(', ');
      return columns([utc(created), machine, set, origin, sizes], WIDTHS);
    },
  });
}

/** What the protocol allows of an ID. */
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

type Request = RequestOf<'session/start'>;

/** How a recovery point is run. */
function runForm(point: string): FormDialog {
  return formDialog({
    title: `Run ${point}`,
    does: 'run it',
    fields: RUN_FIELDS,
    values: {
      listen: '',
      tls: 'no',
      tlsPath: '',
      nfs: 'no',
      allow: '',
      host: '',
      points: 'no',
      squash: 'root',
      whenFull: 'pause',
    },
    submit: (values) => submitted(point, values),
  });
}

const withNfs = ({ nfs }: FormValues): boolean => nfs === 'yes';

const RUN_FIELDS: Form['fields'] = [
  {
    name: 'listen',
    label: 'NBD address',
    note: 'unix:PATH or tcp:HOST:PORT; empty: a socket of its own',
  },
  {
    name: 'tls',
    label: 'NBD with TLS',
    choices: ['no', 'x509', 'psk'],
    note: 'certificates, or keys that both sides know; without, use it on this host only',
  },
  {
    name: 'tlsPath',
    label: 'TLS files',
    note: 'x509: directory with server-cert.pem, server-key.pem; psk: lines of identity:key',
    matters: ({ tls }) => tls !== 'no',
  },
  {
    name: 'nfs',
    label: 'NFS datastore',
    choices: ['no', 'yes'],
    note: 'its disks as files too, for hosts that mount NFS',
  },
  {
    name: 'allow',
    label: 'NFS networks',
    note: 'who may mount it, such as 10.0.0.0/24; empty: this host only',
    matters: withNfs,
  },
  {
    name: 'host',
    label: 'NFS address',
    note: 'where it listens; empty: everywhere if others may mount it, else 127.0.0.1',
    matters: withNfs,
  },
  {
    name: 'points',
    label: 'NFS points too',
    choices: ['no', 'yes'],
    note: 'all recovery points of its set as files too, to be read',
    matters: withNfs,
  },
  {
    name: 'squash',
    label: 'NFS users',
    choices: ['root', 'none', 'all'],
    note: 'users who are mapped to “nobody”; hypervisors connect as root: none',
    matters: withNfs,
  },
  {
    name: 'whenFull',
    label: 'When full',
    choices: ['pause', 'refuse'],
    note: 'pause: the guest waits for space; refuse: its writes fail',
  },
];

function submitted(point: string, values: FormValues): ReturnType<Form['submit']> {
  const text = (name: string): string | undefined => values[name]?.trim() || undefined;
  const tls = tlsRequest(values['tls'], text('tlsPath'));
  if (typeof tls === 'string') return tls;
  return {
    title: `run ${point}`,
    call: {
      name: 'session/start',
      request: {
        point,
        tls,
        listen: text('listen'),
        whenFull: values['whenFull'] === 'refuse' ? 'refuse' : 'pause',
        nfs: withNfs(values) ? nfsRequest(values, text('host')) : undefined,
      },
    },
  };
}

function tlsRequest(kind: string | undefined, path: string | undefined): Request['tls'] | string {
  if (kind !== 'x509' && kind !== 'psk') return undefined;
  if (path === undefined) return 'TLS needs its files: say where they are, or choose "no".';
  return kind === 'psk' ? { kind, path } : { kind, directory: path };
}

function nfsRequest(
  { allow, points, squash }: FormValues,
  host: string | undefined,
): Request['nfs'] {
  const networks = listed(allow);
  return {
    host,
    allow: networks.length > 0 ? networks : undefined,
    points: points === 'yes',
    readOnly: false,
    privilegedPorts: true,
    ports: { nfs: undefined, mount: undefined, portmap: undefined },
    squash: squash === 'none' || squash === 'all' ? squash : 'root',
  };
}
