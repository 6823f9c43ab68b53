import type { Downtime, PlacedMachine } from '../../operations/nouns/placed.ts';
import type { ShownSession } from '../../operations/nouns/session.ts';
import { downtimeFacts } from '../../client/downtime-text.ts';
import { placedDiskText } from '../../client/placed-text.ts';
import { sessionState } from '../../client/session-state.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { FormDialog, SessionDialog, TextDialog } from '../state/dialog.ts';
import type { Model, Task } from '../state/model.ts';
import { followedBy } from '../state/queries.ts';
import type { AnswerOf } from '../state/service.ts';
import { type Line, line, wrapped } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { fact, notKnown } from '../widgets/list-body.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { type DialogKind, keysFor, type Outcome } from '../widgets/page.ts';
import { logKeys, logLines, textDialog } from '../widgets/scrolled.ts';
import { confirmation, textWidth } from '../widgets/typed.ts';
import { EXPORTS } from './exports.ts';
import { ACTIVE_JOBS, percentOf, stateText } from './jobs.ts';

/* One session as it proceeds: its state, its machine and disks on a hypervisor, what is under way, and its log. */

const ENDING: ReadonlySet<string> = new Set(['keep', 'finalize']);

/** The tasks and jobs of a session that are under way, and their progress. */
export function underWay(
  session: string,
  { tasks, active }: Model,
): readonly { readonly what: string; readonly progress: string }[] {
  const own = tasks.filter(
    ({ call: { request } }) => 'session' in request && request.session === session,
  );
  const jobs = active.kind === 'known' ? active.value : [];
  const ends = jobs.filter(
    ({ kind, request }) => ENDING.has(kind) && request['session'] === session,
  );
  return [
    ...own.map(({ title, progress }) => ({ what: title, progress })),
    ...ends.map((it) => ({ what: `job ${it.job}`, progress: stateText(it) })),
  ];
}

/** A session with its machine, its traffic, its tasks and jobs under way, and the end of its log. */
export const sessionKind: DialogKind<SessionDialog> = {
  keys(it) {
    const shown = it.shown.kind === 'known' ? it.shown.value : undefined;
    const onShown = keysFor(() => shown);
    const placed = shown?.placed ?? undefined;
    const onPlaced = keysFor(() => (placed ? { session: it.id, placed } : undefined));
    const own = placed
      ? [
          onPlaced('m', 'migrate', migrate),
          onPlaced('p', 'power', power),
          ...(placed.waits ? [onPlaced('t', 'try again', retry)] : []),
        ]
      : [onShown('F', 'finalize', finalizeForm)];
    return logKeys(it, ...(shown ? own : []));
  },
  queries: [
    ...followedBy('session', {
      show: (session) => ({ name: 'session/show', request: { session } }),
      log: (session, first) => ({ name: 'session/log', request: { session, first } }),
    }),
    EXPORTS,
    ACTIVE_JOBS,
  ],
  body({ id, shown, log }, model) {
    const words = underWay(id, model).map(({ what, progress }) => `${what} ${progress}`.trim());
    return [
      line(` Session ${id}`, 'strong'),
      ...(shown.kind === 'known' ? factLines(shown.value, model) : [notKnown(shown)]),
      fact('Under way', words.join(', ') || '-'),
      [],
      ...logLines(log, model),
    ];
  },
};

interface Placed {
  readonly session: string;
  readonly placed: PlacedMachine;
}

/** While its disks move, the same key ends that. */
function migrate({ session, placed }: Placed): Outcome {
  const { goal, hypervisor, pool, power: state } = placed;
  const isMoving = goal === 'move';
  if (!isMoving && state === 'off') return offlineForm({ session, placed });
  const request = { ...MIGRATE, session, cancel: isMoving };
  const call = { name: 'session/migrate', request } as const;
  if (isMoving) return { title: `cancel the migration of ${session}`, call };
  return confirmation({
    title: `migrate ${session}`,
    question:
      `Its disks migrate to ${hypervisor}${pool === null ? '' : `, pool ${pool}`}, while its machine runs. Then the ` +
      'session ends by itself.',
    word: 'migrate',
    call,
  });
}

/** Once the cause of its wait is gone. */
function retry({ session }: Placed): Outcome {
  return { title: `try ${session} again`, call: { name: 'session/retry', request: { session } } };
}

const MIGRATE = {
  ...{ pool: undefined, cancel: false, offline: false, stop: undefined },
  ...{ start: false, confirmed: false },
} as const;

/** Its answer says how long it takes. */
function offlineForm({ session, placed: { hypervisor } }: Placed): FormDialog {
  return operationForm('session/migrate', {
    title: `Migrate ${session} to ${hypervisor} while its machine is off`,
    does: 'continue',
    given: { session, offline: true },
    asks: ['start', 'pool'],
    fields: { start: { label: 'Start it then' } },
    task: () => `how long ${session} would be off`,
  });
}

/** How long the machine would be off; then Enter begins. */
export function offlineDialog(
  { request }: Pick<AnswerOf<'session/migrate'>, 'request'>,
  downtime: Downtime,
  { form }: Pick<Task, 'form'>,
): TextDialog {
  const facts = [
    ...downtimeFacts(request, downtime),
    '',
    'Nothing was changed yet. Once the disks are on the hypervisor, the session ends by itself.',
  ];
  const call = { name: 'session/migrate', request: { ...request, confirmed: true } } as const;
  const work = { title: `migrate ${request.session} while it is off`, call };
  return {
    ...textDialog('How long it would be off', facts.join('\n')),
    ...(form && { back: form }),
    next: { does: 'begin', work: { ...work, ...(form && { form }) } },
  };
}

function power({ session, placed }: Placed): Outcome {
  const how = placed.power === 'off' ? 'on' : 'shutdown';
  const call = { name: 'session/power', request: { session, power: how } } as const;
  if (how === 'on') return { title: `start the machine of ${session}`, call };
  return confirmation({
    title: `shut down the machine of ${session}`,
    question: `The guest of ${placed.machine} is asked to shut down. The session stays.`,
    word: 'shutdown',
    call,
  });
}

/** As a job: it goes on when the console is left. */
function finalizeForm({ session }: ShownSession): FormDialog {
  return operationForm('job/create', {
    title: `Finalize ${session}: write its disks to permanent storage, and end it`,
    does: 'start it',
    given: { kind: 'finalize', request: { session } },
    asks: ['request.to', 'request.format', 'request.disks', 'request.whileRunning'],
    fields: {
      'request.to': { label: 'Directory' },
      'request.disks': { label: 'Disks elsewhere' },
      'request.whileRunning': {
        label: 'While it runs',
        note:
          'copy the recovery point while the guest runs; the log of the job says when to stop the session, and how ' +
          'long the rest will take',
      },
    },
    task: () => `finalize ${session} as a job`,
  });
}

function factLines(it: ShownSession, model: Model): Line[] {
  const isForeign = !it.adopted && it.holder === null;
  const own = isForeign ? 'not adopted: see "holdfast store adopt"' : sessionState(it);
  const since = it.placed?.waits ? ` since ${utc(it.placed.waits.since)} UTC` : '';
  const state = it.waits === null ? own : `waits${since}: ${it.waits}`;
  const served = it.holder === null ? '' : `: ${it.holder}`;
  const clients = trafficText(it.session, model);
  return [
    fact('Machine', `${it.machine}, of set ${it.set}`),
    fact('Point', it.point),
    ...(it.waits === null ? [fact('Started', `${utc(it.created)} UTC`)] : []),
    ...stateLines(`${state}${it.placed ? '' : served}`, it.waits === null ? 1 : WAIT_ROWS, model),
    ...(it.placed
      ? [fact('There', machineText(it.placed)), disksFact(it.placed)]
      : [fact('Where', it.listen === '' ? '-' : it.listen), fact('Clients', clients)]),
    ...(it.waits === null
      ? [fact('Takes', `${formatSize(it.takenBytes)} on the disk of the store`)]
      : []),
  ];
}

/** What a session waits for takes the rows of two other facts: there is what to do. */
const WAIT_ROWS = 3;
const HEAD_WIDTH = 12;

function stateLines(state: string, rows: number, model: Model): Line[] {
  const lines = wrapped(state, textWidth(model) - HEAD_WIDTH + 1);
  const shown = Array.from({ length: rows }, (_, at) => lines[at] ?? '');
  const isCut = lines.length > rows;
  return shown.map((text, at) =>
    fact(at === 0 ? 'State' : '', isCut && at === rows - 1 ? `${text} ...` : text),
  );
}

function machineText({ hypervisor, machine, power, heartbeat, writes, pool }: PlacedMachine) {
  const agent = heartbeat === true ? ', its agent answers' : '';
  const where = writes === 'here' ? '' : `; its guest writes to the pool ${pool} there`;
  return `${machine} on ${hypervisor}: ${power ?? 'not known'}${agent}${where}`;
}

/** Several share a line: the command "session show" says more of each. */
function disksFact({ disks }: PlacedMachine): Line {
  const [first, ...more] = disks;
  if (first && more.length === 0) return fact('Disk', `${first.disk} ${placedDiskText(first)}`);
  const texts = disks.map((it) => {
    const { disk, place, done, total } = it;
    const isMoving = done !== null && total !== null && place !== 'target';
    const text = isMoving ? `${percentOf({ position: done, total })} %` : placedDiskText(it);
    return `${disk} ${text}`;
  });
  return fact('Disks', texts.join('; '));
}

function trafficText(session: string, { exports }: Model): string {
  if (exports.kind !== 'known') return exports.kind === 'refused' ? exports.message : '...';
  const own = exports.value.filter((it) => it.session === session);
  const sum = (of: (it: (typeof own)[number]) => number): number =>
    own.reduce((total, it) => total + of(it), 0);
  const read = formatSize(sum(({ readBytes }) => readBytes));
  const written = formatSize(sum(({ writtenBytes }) => writtenBytes));
  return `${sum(({ clients }) => clients.length)}; ${read} read, ${written} written`;
}
