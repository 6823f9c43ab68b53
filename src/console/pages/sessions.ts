import type { SessionSummary } from '../../operations/nouns/session.ts';
import { sessionState } from '../../client/session-state.ts';
import { formatSize } from '../../lib/sizes.ts';
import { type ConfirmDialog, following } from '../state/dialog.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import type { Model } from '../state/model.ts';
import { whole } from '../state/queries.ts';
import { columns, type Line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { damagedLines, damagedNote, listBody, MONTH_AT } from '../widgets/list-body.ts';
import { keysFor, type Outcome, type Page } from '../widgets/page.ts';
import { confirmation } from '../widgets/typed.ts';
import { EXPORTS } from './exports.ts';
import { openFiles } from './files.ts';
import { ACTIVE_JOBS } from './jobs.ts';
import { underWay } from './session.ts';

/* Recoveries that run or can be resumed. */

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
