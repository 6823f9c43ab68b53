import { bodyRows, isTooSmall, type Model, SCREENS, silentMs, SMALLEST } from '../state/model.ts';
import { clipped, fitted, type Line, line, printable, wrapped } from '../terminal/screen.ts';
import { lasting } from '../terminal/times.ts';
import { keysText } from '../widgets/page.ts';
import { dialogBody, dialogHelp } from './dialogs.ts';
import { PAGES } from './pages.ts';

/** All rows of the screen, from the top. Equal models give equal lines. */
export function view(model: Model): readonly Line[] {
  const { size, dialog } = model;
  if (isTooSmall(size)) return tooSmall(model);
  const rows = bodyRows(model);
  const body = dialog ? dialogBody(dialog, model) : screenBody(model);
  const width = size.columns - 1;
  const filled = Array.from({ length: rows }, (_, row) => clipped(body[row] ?? [], width));
  return [head(model), stateLine(model), ...filled, tasksLine(model), hintLine(model), foot(model)];
}

function tooSmall({ size: { columns, rows }, dialog }: Model): readonly Line[] {
  const { columns: width, rows: height } = SMALLEST;
  const text = `This terminal has ${columns}x${rows} characters: Holdfast needs ${width}x${height}.`;
  const isAtStake = dialog?.kind === 'recovery-key';
  const stake = ' A recovery key waits to be written down: Ctrl-C leaves, and the key is lost.';
  return wrapped(`${text}${isAtStake ? stake : ''}`, Math.max(1, columns - 1))
    .slice(0, rows)
    .map((it) => line(it));
}

/** The titles of as many screens as fit, around the current one. */
function head({ screen, size }: Model): Line {
  const tabs = SCREENS.map((name, at) => {
    const text = `${at < 9 ? `${at + 1} ` : ''}${PAGES[name].title}`;
    return name === screen ? `[${text}]` : ` ${text} `;
  });
  const width = size.columns - 1;
  const here = SCREENS.indexOf(screen);
  let first = 0;
  const isSeen = (): boolean => tabs.slice(first, here + 1).join('').length <= width - 2;
  while (first < here && tabs.join('').length > width && !isSeen()) first++;
  const shown = tabs.slice(first).join('');
  const text = `${first > 0 ? '<' : ''}${shown}`;
  return line(text.length > width ? `${text.slice(0, width - 1)}>` : fitted(text, width), 'bar');
}

/** With the host's name at the right end. */
function stateLine(model: Model): Line {
  const [state] = serviceState(model);
  const width = model.size.columns - 1;
  const name = printable(model.host.name).slice(0, NAME_MAX);
  const text = fitted(state!.text, width - name.length - 1);
  return [
    { text: `${text} `, style: state!.style },
    { text: name, style: 'strong' },
  ];
}

const NAME_MAX = 24;

function serviceState(model: Model): Line {
  const { service, facts, nowMs } = model;
  const silent = silentMs(model);
  if (service.kind === 'down') {
    return line(` The service does not answer (${lasting(nowMs - service.sinceMs)}).`, 'bad');
  }
  if (silent !== undefined) {
    const words = `has not answered for ${lasting(silent)}: this screen shows older data.`;
    return line(` The service ${words}`, 'warning');
  }
  if (service.kind === 'unknown') return line(' Asking the service ...');
  if (facts.kind === 'refused') return line(` ${facts.message}`, 'bad');
  return line(' The service runs.', 'good');
}

function screenBody(model: Model): readonly Line[] {
  const { screen, service } = model;
  if (screen === 'log') return PAGES.log.body(model);
  if (service.kind === 'down') return downBody(model, service.reason);
  return service.kind === 'unknown' ? [] : PAGES[screen].body(model);
}

function downBody({ socket, host, size }: Model, reason: string): readonly Line[] {
  const text = [
    `Host       ${host.name}`,
    `Addresses  ${host.addresses.join('  ') || 'none'}`,
    '',
    `No service answers at ${socket}:`,
    reason,
    '',
    'While the service is down, recovery points and sessions cannot be shown. None is lost.',
    'Running guests wait. Sessions resume by themselves when the service is back.',
    '',
    'What to do, in a shell:',
    '  systemctl status holdfastd     its state',
    '  journalctl -u holdfastd -n 50  its last messages',
    '  systemctl restart holdfastd',
    'In a checkout: npm run -s holdfastd',
    '',
    'This screen keeps trying.',
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

function foot(model: Model): Line {
  const { dialog, screen, service, size, leaving } = model;
  const { list, keys } = PAGES[screen];
  const text = service.kind === 'up' ? keysText(keys, model) : '';
  const own = text === '' ? '' : `${text}  `;
  const width = size.columns - 1;
  const moves = list.kind === 'none' ? '' : 'Up/Down PgUp/PgDn  ';
  const leave = `${leaving.key} ${leaving.word}`;
  // If there is no room for everything: users find out by themselves what arrows and digits do.
  const fitting = [`${moves}1-9 Tab pages  `, '1-9 Tab pages  ', ''].find(
    (it) => own.length + it.length + leave.length < width,
  );
  const shown = dialog ? dialogHelp(dialog, model) : `${own}${fitting ?? ''}${leave}`;
  return line(fitted(` ${shown}`, width), 'bar');
}
