import type { Dialog, FormDialog, FormValues, Learned } from '../state/dialog.ts';
import { type Model, type Task } from '../state/model.ts';
import { type AnswerOf, valueOf } from '../state/service.ts';
import { findingText } from '../widgets/findings.ts';
import {
  offeredDisks,
  offeredMachines,
  offeredNetworks,
  offeredPoints,
  offeredPools,
} from '../widgets/learned.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { textDialog } from '../widgets/scrolled.ts';
import { anotherHost, type KnownHost } from '../widgets/another-host.ts';

/*
 * Disks of a recovery point, written out: to a hypervisor, or to files and devices. The first field chooses which of
 * the forms it is. What goes to a hypervisor is checked first, with no effect, and begins once its findings were seen.
 * All of it runs as a job, which goes on when the console is left.
 */

interface Subject {
  /** As SET/POINT; undefined: it is typed. */
  readonly point: string | undefined;
  /** Names of its disks, if they are known. */
  readonly disks: readonly string[];
  /** Undefined while it is not known which there are. */
  readonly hypervisors: readonly KnownHost[] | undefined;
  /** Recovery points that are offered. */
  readonly points: readonly string[];
  /** What was entered in the form before. */
  readonly values: FormValues;
}

type FormOf = (subject: Subject) => FormDialog;

const FORMS: Readonly<Record<string, FormOf>> = {
  'the machine, to a hypervisor': machineForm,
  'one disk, to a hypervisor': machineDiskForm,
  'all disks, to files': imagesForm,
  'one disk, to a file or device': diskForm,
};
const WHATS = Object.keys(FORMS);
const WHAT = {
  label: 'What',
  note: 'what is restored, and to where; other fields follow',
  choices: WHATS,
};

export function restoreForm(
  { hypervisors, points }: Model,
  known: { readonly point?: string; readonly disks?: readonly string[]; readonly to?: string },
): FormDialog {
  const { point, disks = [], to } = known;
  return machineForm({
    ...{ point, disks, hypervisors: valueOf(hypervisors)?.hypervisors },
    points: points.rows.map((it) => `${it.set}/${it.point}`),
    values: to === undefined ? {} : { to },
  });
}

/** What all forms have. `at`: before the names of the fields, if they are those of a job. */
function questions(subject: Subject, what: number, at = '') {
  const { point, disks, hypervisors, points, values } = subject;
  const host = anotherHost({ place: 'to', known: hypervisors });
  const bare = (name: string): string => name.slice(name.startsWith('request.') ? 8 : 0);
  const kept = ['point', 'disk', 'pool', ...host.asks].flatMap((name) => {
    // A hypervisor is not a file.
    const isOther = host.asks.includes(name) && at !== '';
    return values[name] === undefined || isOther ? [] : [[`${at}${name}`, values[name]] as const];
  });
  const [disk] = disks;
  const first = disk === undefined ? {} : { [`${at}disk`]: disk };
  return {
    title: point === undefined ? 'Restore from a backup' : `Restore ${point}`,
    ask: (...names: readonly string[]) => [
      'what',
      ...[...(point === undefined ? ['point'] : []), ...names].map((it) => `${at}${it}`),
    ],
    given: point === undefined ? {} : { point },
    host,
    values: {
      what: WHATS[what]!,
      ...first,
      ...(at === '' && { to: host.first }),
      ...Object.fromEntries(kept),
    },
    about: (typed: FormValues) => ({
      ...(at === '' && host.about(typed)),
      point: point ?? typed[`${at}point`] ?? '',
    }),
    fields: {
      what: WHAT,
      [`${at}point`]: {
        offers: (typed: FormValues, learned: Learned) => [
          ...new Set([...points, ...offeredPoints(typed, learned)]),
        ],
      },
      [`${at}disk`]: disks.length === 0 ? { offers: offeredDisks } : { choices: disks },
      ...(at === '' && {
        ...host.fields,
        to: { label: 'Hypervisor', ...host.fields['to'] },
      }),
    },
    turned(typed: FormValues, name: string): FormDialog | undefined {
      if (name !== 'what') return undefined;
      const now = Object.entries(typed).map(([key, value]) => [bare(key), value] as const);
      // The directory or file of another form is not a hypervisor, either.
      const to = at === '' ? typed['to'] : values['to'];
      const entered: FormValues = Object.fromEntries(now);
      const next: FormValues = { ...values, ...entered, ...(to === undefined ? {} : { to }) };
      return FORMS[typed['what']!]!({ ...subject, values: next });
    },
  };
}

function machineForm(subject: Subject): FormDialog {
  const { ask, fields, given, host, ...rest } = questions(subject, 0);
  const form = operationForm('restore/machine', {
    ...rest,
    does: 'check',
    asks: ask(...host.asks, 'name', 'pool', 'networks', 'isolated', 'replace', 'powerOn'),
    given: { ...given, dryRun: true },
    fields: {
      ...fields,
      pool: { offers: offeredPools },
      networks: { offers: offeredNetworks },
    },
    meanings: { replace: { no: undefined, keep: 'keep' } },
    made: host.named,
    task: ({ point, to }) => `check restore of ${idOf(point)} to ${to}`,
  });
  return host.withHost(form, (more) => machineForm({ ...subject, hypervisors: more }));
}

function machineDiskForm(subject: Subject): FormDialog {
  const { ask, fields, given, host, ...rest } = questions(subject, 1);
  const form = operationForm('restore/machine-disk', {
    ...rest,
    does: 'check',
    asks: ask('disk', ...host.asks, 'pool', 'attachTo'),
    given: { ...given, dryRun: true },
    fields: { ...fields, pool: { offers: offeredPools }, attachTo: { offers: offeredMachines } },
    made: host.named,
    task: ({ point, disk, to }) => `check restore of ${disk} of ${idOf(point)} to ${to}`,
  });
  return host.withHost(form, (more) => machineDiskForm({ ...subject, hypervisors: more }));
}

function imagesForm(subject: Subject): FormDialog {
  const { ask, fields, given, host: _, ...rest } = questions(subject, 2, 'request.');
  return operationForm('job/create', {
    ...rest,
    does: 'start it',
    asks: ask('to', 'format', 'overwrite'),
    given: { kind: 'restore-images', request: given },
    fields: { ...fields, 'request.to': { label: 'Directory' } },
    task: ({ request }) => taskOf(request, 'all disks'),
  });
}

/** As short as it can be: a line of the log has to hold its outcome too. */
function idOf(point: string): string {
  return point.slice(point.lastIndexOf('/') + 1);
}

function taskOf(request: object, what: string): string {
  return 'point' in request ? `restore ${what} of ${idOf(String(request.point))}` : 'restore';
}

const isDevice = (values: FormValues): boolean => values['request.to']!.startsWith('/dev/');

function diskForm(subject: Subject): FormDialog {
  const { ask, fields, given, host: _, ...rest } = questions(subject, 3, 'request.');
  return operationForm('job/create', {
    ...rest,
    does: 'start it',
    asks: ask('disk', 'to', 'erase', 'format', 'overwrite'),
    given: { kind: 'restore', request: given },
    fields: {
      ...fields,
      'request.to': { label: 'To' },
      'request.erase': { matters: isDevice },
      'request.format': { matters: (values) => !isDevice(values) },
      'request.overwrite': { matters: (values) => !isDevice(values) },
    },
    task: ({ request }) => taskOf(request, 'a disk'),
  });
}

/** Kinds of jobs that are followed from their beginning: their result is waited for. */
export const FOLLOWED_KINDS: ReadonlySet<string> = new Set([
  ...['restore', 'restore-images', 'restore-machine', 'restore-machine-disk'],
]);

/** What stands in the way comes first. */
const RANKS = { blocker: 0, warning: 1, ok: 2 };

type Checked = AnswerOf<'restore/machine'> | AnswerOf<'restore/machine-disk'>;

/** What was found, before anything was changed; Enter starts the job, with the same secrets. */
export function checkedDialog(
  answer: Checked,
  { form, given }: Pick<Task, 'form' | 'given'>,
): Dialog {
  const { point, hypervisor, ready, findings } = answer.result;
  const facts = [
    ...factsOf(answer),
    '',
    ...findings.toSorted((a, b) => RANKS[a.level] - RANKS[b.level]).map(findingText),
    ...(findings.length === 0 ? ['Nothing stands in the way.'] : []),
    '',
    ready
      ? 'Nothing was changed yet. The restore runs as a job, which continues without this screen.'
      : 'Nothing was changed. Press Esc to correct the form.',
  ];
  const title = ready
    ? `${point} can be restored to ${hypervisor}`
    : `${point} cannot be restored to ${hypervisor} like this`;
  return {
    ...textDialog(title, facts.join('\n'), !ready),
    ...(form && { back: form }),
    ...(ready && { next: { does: 'start it', work: { ...jobOf(answer), ...given } } }),
  };
}

function factsOf({ name, request, result }: Checked): readonly string[] {
  const pool = `Pool      ${result.pool ?? 'not known'}`;
  if (name === 'restore/machine-disk') {
    const to = request.attachTo === undefined ? '-' : `machine ${request.attachTo}`;
    return [`Disk      ${request.disk}`, pool, `Attached  ${to}`];
  }
  const networks = (request.networks ?? []).map((it) => `${it.name}=${it.where}`).join(', ');
  return [
    `Machine   ${result.machine ?? 'not known'}`,
    pool,
    `Networks  ${request.isolated ? 'none' : networks || 'as they were'}`,
    `Old one   ${request.replace === 'keep' ? 'stays, renamed' : 'not replaced'}`,
    `Started   ${request.powerOn ? 'afterwards' : 'no'}`,
  ];
}

/** The job takes the recovery point that was checked, even if a newer one appears in the meantime. */
function jobOf({ name, request, result }: Checked) {
  const set = request.point.slice(0, request.point.lastIndexOf('/') + 1);
  const real = { point: `${set}${result.point}`, dryRun: false };
  const to = `${result.point} to ${request.to}`;
  if (name === 'restore/machine') {
    const job = { kind: 'restore-machine', request: { ...request, ...real } } as const;
    return { title: `restore ${to}`, call: { name: 'job/create', request: job } } as const;
  }
  const job = { kind: 'restore-machine-disk', request: { ...request, ...real } } as const;
  const title = `restore ${request.disk} of ${to}`;
  return { title, call: { name: 'job/create', request: job } } as const;
}
