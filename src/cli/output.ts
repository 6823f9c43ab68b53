import { formatSize } from '../lib/sizes.ts';
import type { Change, Notice, Progress, Report } from '../protocol/results.ts';
import type { Clock } from '../sys/clock.ts';
import { Interrupted } from './interrupted.ts';
import { systemError } from '../sys/system-error.ts';

/** Speaks to a person, or with `--json` to a program: results on stdout, the rest on stderr. */
export interface Output {
  readonly json: boolean;
  /** The command's answer: an object, or what a person reads. */
  result(value: object, text: () => string): void;
  /** A line for a person only. */
  say(text: string): void;
  readonly report: Report;
  /** One of many answers, or a part of one; resolves once there is room for more. */
  part(value: object, text: () => string): Promise<void>;
  /** Bytes that are the answer. */
  bytes(from: Uint8Array): Promise<void>;
  /** The progress line ends here. */
  endProgress(): void;
}

/** Terminals are redrawn this often; logs and programs hear of progress less often. */
const TERMINAL_MS = 200;
const LOG_MS = 10_000;
const JSON_MS = 1000;

export function openOutput(clock: Clock, json: boolean): Output {
  const { stdout, stderr } = process;
  const isTerminal = !json && stderr.isTTY;
  const every = json ? JSON_MS : isTerminal ? TERMINAL_MS : LOG_MS;
  const started = clock.monotonicMs();
  let last = started - (isTerminal ? TERMINAL_MS : 0);
  let phase: { readonly name: string; readonly since: number } | undefined;
  let isLineOpen = false;
  // A reader that has seen enough (`| head`) is no failure of ours; who writes much is told by `written`.
  stdout.on('error', () => {});

  function endProgress(): void {
    if (isLineOpen) stderr.write('\n');
    isLineOpen = false;
  }
  function line(object: object): void {
    stdout.write(`${JSON.stringify(object, plain)}\n`);
  }
  function progress(event: Progress): void {
    const now = clock.monotonicMs();
    if (phase?.name !== event.phase) {
      if (isLineOpen) endProgress();
      phase = { name: event.phase, since: now };
    }
    if (now - last < every && event.position < event.total) return;
    last = now;
    if (json) return line(event);
    const text = progressText(event, (now - phase.since) / 1000);
    stderr.write(isTerminal ? `\r${text}\u001b[K` : `${text}\n`);
    isLineOpen = isTerminal;
  }
  function notice(event: Notice): void {
    endProgress();
    if (json) line(event);
    else stderr.write(`${event.message}\n`);
  }
  /** Resolves when it is on its way; rejects where nobody reads any more. */
  function written(what: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      stdout.write(what, (cause) => {
        if (!cause) resolve();
        else if ((cause as NodeJS.ErrnoException).code === 'EPIPE') reject(new Interrupted());
        else reject(systemError(cause, 'write to standard output'));
      });
    });
  }
  function change(event: Change): void {
    endProgress();
    if (json) line(event);
    else stdout.write(`${changeText(event)}\n`);
  }
  return {
    json,
    endProgress,
    report(event) {
      if (event.event === 'progress') progress(event);
      else if (event.event === 'notice') notice(event);
      else change(event);
    },
    result(value, text) {
      endProgress();
      if (json) line(value);
      else stdout.write(`${text()}\n`);
    },
    async part(value, text) {
      endProgress();
      await written(`${json ? JSON.stringify(value, plain) : text()}\n`);
    },
    bytes: written,
    say(text) {
      endProgress();
      if (!json) stderr.write(`${text}\n`);
    },
  };
}

/** Bytes as hexadecimal; everything else as it is. */
function plain(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}

function changeText(change: Change): string {
  if (change.event === 'alarm') return `alarm ${change.alarm}: ${change.what}: ${change.message}`;
  const [name, what, why] =
    change.event === 'job'
      ? [`job ${change.job}`, change.state, change.reason]
      : [`session ${change.session}`, change.what, change.message];
  return `${name}: ${what}${why === null ? '' : `: ${why}`}`;
}

function progressText(
  { phase, position, total, readBytes, storedBytes }: Progress,
  seconds: number,
) {
  const percent = total > 0 ? Math.floor((100 * position) / total) : 100;
  const parts = [`${phase}: ${percent} %`];
  if (readBytes !== undefined) {
    parts.push(`${formatSize(readBytes)} read`);
    if (seconds > 1) parts.push(`${formatSize(Math.floor(readBytes / seconds))}/s`);
  }
  if (storedBytes !== undefined) parts.push(`${formatSize(storedBytes)} stored`);
  if (position > 0 && position < total && seconds > 2) {
    parts.push(`${duration((seconds * (total - position)) / position)} left`);
  }
  return parts.join(', ');
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

/** Columns as wide as their widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
