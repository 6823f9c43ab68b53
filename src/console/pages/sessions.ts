import type { PlacedMachine } from '../../operations/nouns/placed.ts';
import type { SessionSummary, ShownSession } from '../../operations/nouns/session.ts';
import { placedDiskText } from '../../client/placed-text.ts';
import { sessionState } from '../../client/session-state.ts';
import { formatSize } from '../../lib/sizes.ts';
import { type ConfirmDialog, following, type SessionDialog } from '../state/dialog.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import type { Model } from '../state/model.ts';
import { followedBy, whole } from '../state/queries.ts';
import { columns, type Line, line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import {
  damagedLines,
  damagedNote,
  fact,
  listBody,
  MONTH_AT,
  notKnown,
} from '../widgets/list-body.ts';
import { type DialogKind, keysFor, type Outcome, type Page } from '../widgets/page.ts';
import { logKeys, logLines } from '../widgets/scrolled.ts';
import { confirmation } from '../widgets/typed.ts';
import { EXPORTS } from './exports.ts';
import { openFiles } from './files.ts';
import { ACTIVE_JOBS, stateText } from './jobs.ts';

/* Recoveries that run or can be resumed, and the view of one as it proceeds. */

export const SESSIONS = whole('sessions', 'session/list', {
  value: ({ sessions }) => sessions,
  also: ({ damaged }) => ({ damagedSessions: damaged }),
});

const WIDTHS = [21, 11, 11, 9];
const onSession = keysFor(
  ({ sessions, chosen }) => chosenOf(sessions, chosen.sessions),
  'No session is chosen.',
);

export const sessionsPage: Page = {
  title: 'Sessions',
  keys: [
    onSession('enter', 'show', ({ session }) => following('session', session)),
    onSession('s', 'stop', stop),
    onSession('r', 'resume', ({ session }) => {
      const request = { session, listen: undefined, tls: undefined, nfs: undefined };
      return { title: `resume ${session}`, call: { name: 'session/resume', request } };
    }),
    onSession('k', 'keep', ({ session }) => ({
      title: `keep ${session}`,
      call: { name: 'session/keep', request: { session, stop: undefined } },
    })),
    onSession('b', 'as a job', ({ session }) => ({
      title: `keep ${session} as a job`,
      call: {
        name: 'job/create',
        request: { kind: 'keep', request: { session, stop: undefined } },
      },
    })),
    onSession('f', 'files', ({ session }) => openFiles(session)),
    onSession('d', 'discard', discard),
  ],
  queries: [SESSIONS, ACTIVE_JOBS, EXPORTS],
  list: { kind: 'rows', ids: ({ sessions }) => idsOf(sessions, (it) => it.session) },
  body: sessionsBody,
};

/** Facts about clients that are older, as when this screen was last shown long ago, do not count. */
const FRESH_MS = 5000;

/** A single key must not freeze a guest: there is no question only if no client is connected. */
function stop({ session, state }: SessionSummary, { exports, nowMs }: Model): Outcome {
  const call = { name: 'session/stop', request: { session } } as const;
  const isFresh = exports.kind === 'known' && nowMs - exports.atMs < FRESH_MS;
  const own = isFresh ? exports.value.filter((it) => it.session === session) : [];
  const clients = own.reduce((sum, it) => sum + it.clients.length, 0);
  if (state !== 'running' || (isFresh && clients === 0)) {
    return { title: `stop ${session}`, call };
  }
  const who =
    clients === 0
      ? 'The connected clients are not known.'
      : `${clients} ${clients === 1 ? 'client is' : 'clients are'} connected to it.`;
  return confirmation({
    title: `stop ${session}`,
    question: `${who} Until it is resumed, reads and writes of guests wait or fail.`,
    word: 'stop',
    call,
  });
}

function discard({ session, takenBytes }: SessionSummary): ConfirmDialog {
  return confirmation({
    title: `discard ${session}`,
    question:
      `All that the guest wrote in session ${session} (${formatSize(takenBytes)}) will be lost. ` +
      'The recovery point stays. This cannot be undone.',
    word: 'discard',
    call: { name: 'session/discard', request: { session, stop: undefined } },
  });
}

function sessionsBody(model: Model): readonly Line[] {
  const { sessions, damagedSessions } = model;
  const list = listBody(model, {
    known: sessions,
    heading: columns(['SESSION', 'STATE', 'STARTED (UTC)', 'TAKES', 'WHERE, UNDER WAY'], WIDTHS),
    note: damagedNote(damagedSessions),
    none: 'No sessions. Press Enter on a recovery point to start one.',
    text(it) {
      const { session, waits, created, takenBytes, listen } = it;
      const [now] = underWay(session, model);
      const place = now ? now.progress || now.what : (waits ?? listen);
      const begun = utc(created).slice(MONTH_AT);
      return columns([session, sessionState(it), begun, formatSize(takenBytes), place], WIDTHS);
    },
  });
  return [...list, ...damagedLines(damagedSessions, model)];
}

/** The tasks and jobs of a session that are under way, and their progress. */
function underWay(
  session: string,
  { tasks, active }: Model,
): readonly { readonly what: string; readonly progress: string }[] {
  const own = tasks.filter(
    ({ call: { request } }) => 'session' in request && request.session === session,
  );
  const jobs = active.kind === 'known' ? active.value : [];
  const keeps = jobs.filter(
    ({ kind, request }) => kind === 'keep' && request['session'] === session,
  );
  return [
    ...own.map(({ title, progress }) => ({ what: title, progress })),
    ...keeps.map((it) => ({ what: `job ${it.job}`, progress: stateText(it) })),
  ];
}

/** A session with its traffic, its tasks and jobs under way, and the end of its log. */
export const sessionKind: DialogKind<SessionDialog> = {
  keys: (it) => logKeys(it),
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
      ...(shown.kind === 'known' ? factLines(shown.value) : [notKnown(shown)]),
      fact('Clients', trafficText(id, model)),
      fact('Under way', words.join(', ') || '-'),
      [],
      ...logLines(log, model),
    ];
  },
};

function factLines(it: ShownSession): Line[] {
  const isForeign = !it.adopted && it.holder === null;
  const own = isForeign ? 'not adopted: see "holdfast store adopt"' : sessionState(it);
  const state = it.waits === null ? own : `waits: ${it.waits}`;
  const served = it.holder === null ? '' : `: ${it.holder}`;
  return [
    fact('Machine', `${it.machine}, of set ${it.set}`),
    fact('Point', it.point),
    fact('Started', `${utc(it.created)} UTC`),
    fact('State', `${state}${served}`),
    fact('Where', it.listen === '' ? '-' : it.listen),
    fact('Takes', `${formatSize(it.takenBytes)} on the disk of the store`),
    ...(it.placed ? placedLines(it.placed) : []),
  ];
}

/** Its machine on a hypervisor. */
function placedLines({
  hypervisor,
  machine,
  power,
  heartbeat,
  disks,
  waits,
}: PlacedMachine): Line[] {
  const agent = heartbeat === true ? ', its agent answers' : '';
  return [
    fact('There', `${machine} on ${hypervisor}: ${power ?? 'not known'}${agent}`),
    ...disks.map((disk) => fact('Disk', `${disk.disk} ${placedDiskText(disk)}`)),
    ...(waits === null ? [] : [fact('Since', `${utc(waits.since)} UTC`)]),
  ];
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
