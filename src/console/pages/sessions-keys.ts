import { formatSize } from '../../lib/sizes.ts';
import type { SessionSummary } from '../../operations/results.ts';
import { type ConfirmDialog, NO_LOG } from '../state/dialog-model.ts';
import { openFiles } from './files.ts';
import { chosenOf } from '../state/lists.ts';
import type { Model, Next } from '../state/model.ts';
import { startTask } from '../state/tasks.ts';
import { UNKNOWN } from '../state/known.ts';
import type { Call } from '../state/call.ts';

export function sessionsKey(model: Model, key: string): Next {
  const it = chosenOf(model.sessions, model.chosen.sessions);
  if (!it) return [{ ...model, hint: 'No session is chosen.' }, []];
  const { session } = it;
  const start = (title: string, call: Call): Next => startTask(model, title, { call });
  switch (key) {
    case 'enter':
      return [{ ...model, dialog: { kind: 'session', session, shown: UNKNOWN, log: NO_LOG } }, []];
    case 's': {
      const dialog = stopOf(it, model);
      if (dialog) return [{ ...model, dialog }, []];
      return start(`stop ${session}`, { name: 'session/stop', request: { session } });
    }
    case 'r': {
      const reached = { listen: undefined, tls: undefined, nfs: undefined };
      const request = { session, ...reached };
      return start(`resume ${session}`, { name: 'session/resume', request });
    }
    case 'k':
      return start(`keep ${session}`, { name: 'session/keep', request: { session } });
    case 'b': {
      const call: Call = { name: 'job/create', request: { kind: 'keep', request: { session } } };
      return start(`keep ${session} as a job`, call);
    }
    case 'f':
      return openFiles(model, session);
    case 'd':
      return [{ ...model, dialog: discardOf(it) }, []];
    default:
      return [model, []];
  }
}

/** What was said of clients longer ago, as when this screen was seen for the last time, is not believed. */
const FRESH_MS = 5000;

/** A single key must not freeze a guest: undefined where no client is connected. */
function stopOf(
  { session, state }: SessionSummary,
  { exports, nowMs }: Model,
): ConfirmDialog | undefined {
  if (state !== 'running') return undefined;
  const isFresh = exports.kind === 'known' && nowMs - exports.atMs < FRESH_MS;
  const own = isFresh ? exports.value.filter((it) => it.session === session) : [];
  const clients = own.reduce((sum, it) => sum + it.clients.length, 0);
  if (isFresh && clients === 0) return undefined;
  const who =
    clients === 0
      ? 'The clients that are connected to it are not known.'
      : `${clients} ${clients === 1 ? 'client is' : 'clients are'} connected to it.`;
  return {
    ...{ kind: 'confirm', title: `stop ${session}`, word: 'stop', typed: '' },
    question: `${who} From then on reads and writes of guests wait or fail, until it is resumed.`,
    call: { name: 'session/stop', request: { session } },
  };
}

function discardOf({ session, takenBytes }: SessionSummary) {
  return {
    kind: 'confirm',
    question:
      `All that the guest wrote in session ${session} (${formatSize(takenBytes)}) will be gone. ` +
      'The recovery point stays. This cannot be undone.',
    word: 'discard',
    typed: '',
    title: `discard ${session}`,
    call: { name: 'session/discard', request: { session } },
  } as const;
}
