import type { JobSummary } from '../../operations/nouns/job.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { RequestOf } from '../../operations/operations.ts';
import { type FormDialog, following, type JobDialog } from '../state/dialog.ts';
import { chosenIn } from '../state/lists.ts';
import { followedBy, OFTEN_MS, paged, whole } from '../state/queries.ts';
import { columns, type Line, line, wrapped } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { fact, MONTH_AT, notKnown, pagedBody } from '../widgets/list-body.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { type DialogKind, key, keysFor, type Outcome, type Page } from '../widgets/page.ts';
import { logKeys, logLines } from '../widgets/scrolled.ts';
import { confirmation, textWidth } from '../widgets/typed.ts';

/* Jobs of the service, the form for a new one, and the view of one as it proceeds. */

const JOBS = paged('jobs', {
  call: (_model, window) => ({ name: 'job/list', request: { ...window, active: false } }),
  everyMs: OFTEN_MS,
  page: ({ jobs, ...place }) => ({ ...place, rows: jobs }),
  idOf: ({ job }) => job,
});

/** Running jobs are among the oldest that have not ended: two lanes, and the jobs that wait behind them. */
const ACTIVE_MAX = 100;

/** Jobs that wait or run. */
export const ACTIVE_JOBS = whole('active', 'job/list', {
  request: { first: 0, count: ACTIVE_MAX, active: true },
  value: ({ jobs }) => jobs,
});

const WIDTHS = [11, 8, 26];
const onJob = keysFor(({ jobs }) => chosenIn(jobs));

export const jobsPage: Page = {
  title: 'Jobs',
  keys: [
    onJob('enter', 'show', ({ job }) => following('job', job)),
    key('n', 'new', () => jobForm()),
    onJob('u', 'give key', unlock),
    onJob('c', 'cancel', cancel),
  ],
  queries: [JOBS],
  list: { kind: 'paged', name: 'jobs' },
  body: (model) =>
    pagedBody(model, model.jobs, {
      heading: columns(['CREATED (UTC)', 'STATE', 'WHAT', 'DETAILS'], WIDTHS),
      none: 'No jobs yet: n starts a job.',
      note: '',
      text: (it) =>
        columns([utc(it.created).slice(MONTH_AT), it.state, workText(it), stateText(it)], WIDTHS),
    }),
};

/** The service finds the key itself, or names the set whose key the user has to give. */
function unlock({ job, needsKeyOf }: JobSummary): Outcome {
  if (needsKeyOf === null) return `Job ${job} does not wait for a key.`;
  return { title: `unlock ${job}`, call: { name: 'job/unlock', request: { job } } };
}

function cancel({ job, kind, state }: JobSummary): Outcome {
  if (state !== 'waiting' && state !== 'running') {
    return `Job ${job} has ended already.`;
  }
  const words =
    state === 'running'
      ? kind === 'backup' || kind === 'backup-machine'
        ? 'runs. What it has stored is reused by the next backup, but no recovery point is created.'
        : 'runs. It will stop; a later one can continue or repeat it.'
      : 'waits. It will not start.';
  return confirmation({
    title: `cancel ${job}`,
    question: `Job ${job} ${words}`,
    word: 'cancel',
    call: { name: 'job/cancel', request: { job } },
  });
}

/** What a job does: `backup of web1 to nightly`. */
export function workText({ kind, request }: Pick<JobSummary, 'kind' | 'request'>): string {
  const text = (name: string): string => {
    const value = request[name];
    return typeof value === 'string' ? value : '?';
  };
  if (kind === 'backup') return `backup of ${text('machine')} to ${text('set')}`;
  if (kind === 'backup-machine') {
    const { from } = request;
    return `backup of ${Array.isArray(from) ? from.join(', ') : '?'} to ${text('set')}`;
  }
  if (kind === 'restore-images') return `restore of ${text('point')} to ${text('to')}`;
  if (kind === 'restore') return `restore of ${text('disk')} of ${text('point')} to ${text('to')}`;
  if (kind === 'restore-machine') return `restore of ${text('point')} to ${text('to')}`;
  if (kind === 'restore-machine-disk') {
    return `restore of ${text('disk')} of ${text('point')} to ${text('to')}`;
  }
  if (kind === 'verify') return `proof of the latest points of ${text('set')}`;
  if (kind === 'retain') return `retention of ${text('set')}`;
  if (kind === 'keep' || kind === 'finalize') return `${kind} session ${text('session')}`;
  return request['readData'] === true ? `${kind} of all data` : kind;
}

export function percentOf({ position, total }: { position: number; total: number }): number {
  return total > 0 ? Math.floor((100 * position) / total) : 100;
}

/** Its progress, its problem or its result, in a few words. */
export function stateText(job: JobSummary): string {
  const { state, reason, notBefore, progress, result, adopted } = job;
  if (!adopted) return 'not adopted: see "holdfast store adopt"';
  if (progress && state === 'running') {
    return `${progress.phase} ${percentOf(progress)} % of ${formatSize(progress.total)}`;
  }
  const again = notBefore === null ? '' : `, again at ${utc(notBefore)} UTC`;
  if (reason !== null) return `${reason}${again}`;
  return (result && restoredText(job)) ?? textIn(result, 'point') ?? '';
}

function textIn(of: JobSummary['result'], name: string): string | undefined {
  const value = of?.[name];
  return typeof value === 'string' ? value : undefined;
}

/** Where what was restored is now. */
function restoredText({ kind, request, result }: JobSummary): string | undefined {
  const text = (name: string): string | undefined => textIn(result, name);
  if (kind === 'restore' || kind === 'restore-images') {
    return `written to ${text('to') ?? textIn(request, 'to') ?? '?'}, and compared`;
  }
  const machine = text('machine');
  if (kind === 'restore-machine' && machine !== undefined) {
    const old = text('replaced');
    const state = result?.['started'] === true ? 'started' : 'off';
    return `machine ${machine}, ${state}${old === undefined ? '' : `; the old one is ${old} now`}`;
  }
  if (kind !== 'restore-machine-disk') return undefined;
  const source = text('source') ?? 'a disk there';
  return machine === undefined ? source : `${text('target') ?? source} of ${machine}: ${source}`;
}

/** A job with the end of its log. */
export const jobKind: DialogKind<JobDialog> = {
  keys(it) {
    const onShown = keysFor(() => (it.shown.kind === 'known' ? it.shown.value : undefined));
    return logKeys(it, onShown('u', 'give its key', unlock), onShown('c', 'cancel it', cancel));
  },
  queries: followedBy('job', {
    show: (job) => ({ name: 'job/show', request: { job } }),
    log: (job, first) => ({ name: 'job/log', request: { job, first } }),
  }),
  body: ({ id, shown, log }, model) => [
    line(` Job ${id}`, 'strong'),
    ...(shown.kind === 'known' ? factLines(shown.value, textWidth(model)) : [notKnown(shown)]),
    [],
    ...logLines(log, model),
  ],
};

const REASON_ROWS = 2;

function factLines(it: JobSummary, width: number): Line[] {
  const { state, schedule, created, started, ended, failures } = it;
  // All three fit on a small screen, without their year.
  const short = (time: string): string => utc(time).slice(MONTH_AT);
  const times = [
    `created ${short(created)}`,
    ...(started === null ? [] : [`started ${short(started)}`]),
    ...(ended === null ? [] : [`ended ${short(ended)}`]),
  ].join(', ');
  const [first = '', ...more] = wrapped(stateText(it), width - 12).slice(0, REASON_ROWS);
  const style = state === 'failed' ? 'bad' : 'plain';
  return [
    fact('What', workText(it)),
    fact('Created by', schedule === null ? 'a user' : `schedule ${schedule}`),
    fact('Times', `${times} (UTC)`),
    fact('Attempts', failures === 0 ? 'none failed' : `${failures} failed`),
    fact('State', state),
    ...[first, ...more].map((text) => line(` ${' '.repeat(10)} ${text}`, style)),
  ];
}

/** Values that are known in advance. */
export interface JobHints {
  readonly set?: string;
  readonly machine?: string;
  readonly disks?: readonly { readonly name: string; readonly source: string }[];
}

type Job = RequestOf<'job/create'>;

/** The fields of a job that a form asks for; in a schedule they are fields of `job`. */
const JOB_FIELDS = [
  'kind',
  'request.set',
  'request.from',
  'request.machine',
  'request.disks',
  'request.changed',
  'request.exclude',
  'request.machines',
  'request.consistency',
  'request.retention.last',
  'request.retention.daily',
  'request.retention.weekly',
  'request.retention.monthly',
  'request.retention.yearly',
  'request.thenVerify',
  'request.readData',
];

/** The questions of a form for a job. `at` precedes the names of the fields if the job is a part of the request. */
export function jobQuestions({ set = '', machine = '', disks = [] }: JobHints, at = '') {
  return {
    asks: JOB_FIELDS.map((it) => `${at}${it}`),
    // Other kinds are started from a session, or from a disk.
    meanings: {
      [`${at}kind`]: {
        ...{ backup: 'backup', check: 'check', 'backup-machine': 'backup-machine' },
        verify: 'verify',
      },
    },
    fields: {
      [`${at}kind`]: {
        note:
          'backup: of disk images; check: look for damage in the store; backup-machine: of machines of a ' +
          'hypervisor; verify: boot the latest recovery points',
      },
    },
    values: {
      [`${at}request.set`]: set,
      [`${at}request.machine`]: machine,
      [`${at}request.disks`]: disks.map(({ name, source }) => `${name}=${source}`).join(', '),
    },
  };
}

export function jobForm(hints: JobHints = {}): FormDialog {
  const workOf = (job: Job): string =>
    job.kind === 'backup'
      ? `backup of ${job.request.machine}`
      : job.kind === 'backup-machine'
        ? `backup of ${job.request.from.join(', ')}`
        : job.kind;
  return operationForm('job/create', {
    title: 'A new job',
    does: 'start it',
    ...jobQuestions(hints),
    task: (job) => `start ${workOf(job)}`,
  });
}
