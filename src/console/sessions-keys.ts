import { formatSize } from '../lib/sizes.ts';
import type { SessionSummary } from '../protocol/results.ts';
import { chosenOf } from './lists.ts';
import type { Call, Model, Next } from './model.ts';
import { startTask } from './tasks.ts';
import { utc } from './words.ts';

export function sessionsKey(model: Model, key: string): Next {
  const it = chosenOf(model.sessions, model.chosen.sessions);
  if (!it) return [{ ...model, hint: 'No session is chosen.' }, []];
  const { session } = it;
  const start = (title: string, call: Call): Next => startTask(model, title, { call });
  switch (key) {
    case 'enter':
      return [{ ...model, dialog: detailsOf(it) }, []];
    case 's':
      return start(`stop ${session}`, { name: 'session/stop', request: { session } });
    case 'r': {
      const reached = { listen: undefined, tls: undefined, nfs: undefined };
      const request = { session, ...reached };
      return start(`resume ${session}`, { name: 'session/resume', request });
    }
    case 'k':
      return start(`keep ${session}`, { name: 'session/keep', request: { session } });
    case 'd':
      return [{ ...model, dialog: discardOf(it) }, []];
    default:
      return [model, []];
  }
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

function detailsOf(it: SessionSummary) {
  const text = [
    `machine         ${it.machine}`,
    `backup set      ${it.set}`,
    `recovery point  ${it.point}`,
    `begun           ${utc(it.created)} UTC`,
    `state           ${it.state}`,
    `waits for       ${it.waits ?? '-'}`,
    `served by       ${it.holder ?? '-'}`,
    `listens at      ${it.listen === '' ? '-' : it.listen}`,
    `written         ${formatSize(it.takenBytes)}`,
  ].join('\n');
  const title = `Session ${it.session}`;
  return { kind: 'text', title, text, isFailure: false, top: 0 } as const;
}
