import { DIALOG_HELP, dialogBody } from './view-dialog.ts';
import { logBody, pointsBody, sessionsBody, setsBody } from './view-lists.ts';
import { statusBody } from './view-status.ts';
import {
  bodyRows,
  isTooSmall,
  type Model,
  type ScreenName,
  SCREENS,
  silentMs,
  SMALLEST,
} from './model.ts';
import { clipped, fitted, type Line, line, wrapped } from './screen.ts';
import { lasting } from './words.ts';

const NAMES: Readonly<Record<ScreenName, string>> = {
  status: 'Status',
  points: 'Recovery points',
  sessions: 'Sessions',
  sets: 'Sets',
  log: 'Log',
};

const HELP: Readonly<Record<ScreenName, string>> = {
  status: '',
  points: 'Enter run it  / search  ',
  sessions: 'Enter show  s stop  r resume  k keep  d discard  ',
  sets: '',
  log: '',
};

/** All rows of the screen, from the top: the same model gives the same lines. */
export function view(model: Model): readonly Line[] {
  const { size, dialog } = model;
  if (isTooSmall(size)) return tooSmall(model);
  const rows = bodyRows(model);
  const body = dialog ? dialogBody(model, dialog) : screenBody(model);
  const width = size.columns - 1;
  const filled = Array.from({ length: rows }, (_, row) => clipped(body[row] ?? [], width));
  return [head(model), stateLine(model), ...filled, tasksLine(model), hintLine(model), foot(model)];
}

function tooSmall({ size: { columns, rows } }: Model): readonly Line[] {
  const { columns: width, rows: height } = SMALLEST;
  const text = `This terminal has ${columns}x${rows} characters: Holdfast needs ${width}x${height}.`;
  return wrapped(text, Math.max(1, columns - 1))
    .slice(0, rows)
    .map((it) => line(it));
}

function head({ host, screen, size }: Model): Line {
  const tabs = SCREENS.map((name, at) =>
    name === screen ? `[${at + 1} ${NAMES[name]}]` : ` ${at + 1} ${NAMES[name]} `,
  ).join('');
  const width = size.columns - 1;
  const title = fitted(` Holdfast  ${host.name}`, Math.max(0, width - tabs.length));
  return line(fitted(`${title}${tabs}`, width), 'bar');
}

function stateLine(model: Model): Line {
  const { service, facts, nowMs } = model;
  const silent = silentMs(model);
  if (service.kind === 'down') {
    return line(` The service does not answer (${lasting(nowMs - service.sinceMs)}).`, 'bad');
  }
  if (silent !== undefined) {
    const words = `has not answered for ${lasting(silent)}: what is shown is older than that.`;
    return line(` The service ${words}`, 'warning');
  }
  if (service.kind === 'unknown') return line(' Asking the service ...');
  if (facts.kind === 'refused') return line(` ${facts.message}`, 'bad');
  return line(' The service runs.', 'good');
}

function screenBody(model: Model): readonly Line[] {
  const { screen, service } = model;
  if (screen === 'log') return logBody(model);
  if (service.kind === 'down') return downBody(model, service.reason);
  return service.kind === 'unknown' ? [] : BODIES[screen](model);
}

const BODIES: Readonly<Record<ScreenName, (model: Model) => readonly Line[]>> = {
  status: statusBody,
  points: pointsBody,
  sessions: sessionsBody,
  sets: setsBody,
  log: logBody,
};

function downBody({ socket, host, size }: Model, reason: string): readonly Line[] {
  const text = [
    `Host       ${host.name}`,
    `Addresses  ${host.addresses.join('  ') || 'none'}`,
    '',
    `Nobody answers at ${socket}:`,
    reason,
    '',
    'While the service is down nothing is known of recovery points and sessions: none is lost.',
    'Running guests wait. Sessions go on by themselves when the service is back.',
    '',
    'What to do, in a shell:',
    '  systemctl status holdfastd     what has become of it',
    '  journalctl -u holdfastd -n 50  its last words',
    '  systemctl restart holdfastd',
    'In a checkout: npm run -s holdfastd',
    '',
    'This screen goes on trying by itself.',
  ].join('\n');
  return ['', ...wrapped(text, size.columns - 3)].map((it) => line(` ${it}`));
}

function tasksLine({ tasks, size }: Model): Line {
  const task = tasks.at(-1);
  if (!task) return [];
  const more = tasks.length > 1 ? ` (and ${tasks.length - 1} more)` : '';
  const progress = task.progress === '' ? '...' : task.progress;
  return line(fitted(` ${task.title}: ${progress}${more}`, size.columns - 1).trimEnd(), 'strong');
}

function hintLine({ hint, log, size }: Model): Line {
  const width = size.columns - 1;
  if (hint !== '') return line(fitted(` ${hint}`, width).trimEnd(), 'warning');
  const last = log.at(-1);
  if (!last) return [];
  const text = fitted(` ${last.time.slice(11, 16)} ${last.text}`, width).trimEnd();
  return line(text, last.isFailure ? 'bad' : 'plain');
}

function foot({ dialog, screen, service, alarms, size, leaving }: Model): Line {
  const clears = screen === 'status' && alarms.length > 0 ? 'c clear alarms  ' : HELP[screen];
  const own = service.kind === 'up' ? clears : '';
  const moves = screen === 'status' || screen === 'sessions' ? '' : 'Up/Down PgUp/PgDn  ';
  const always = `1-5 Tab screens  ${leaving.key} ${leaving.word}`;
  const help = dialog ? DIALOG_HELP[dialog.kind] : `${own}${moves}${always}`;
  return line(fitted(` ${help}`, size.columns - 1), 'bar');
}
