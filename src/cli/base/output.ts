import { duration } from '../../lib/duration.ts';
import { jsonText } from '../../lib/json-text.ts';
import { printable, printableLines } from '../../lib/printable.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { Change, Notice, Progress, Report, SessionStep } from '../../operations/events.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { Interrupted } from './interrupted.ts';
import { standardOutput } from '../../sys/terminal/standard-output.ts';
import { SystemError } from '../../sys/base/system-error.ts';

/** Speaks to a person, or with `--json` to a program: results on stdout, the rest on stderr. */
export interface Output {
  readonly json: boolean;
  /** The command's result: an object, or a text for people. */
  result(value: object, text: () => string): void;
  /** Prints a text that is the result, for people and programs alike. */
  print(text: string): void;
  /** Prints a line only for people. */
  say(text: string): void;
  readonly report: Report;
  /** Prints one of many results, or a part of one; resolves once there is room for more. */
  part(value: object, text: () => string): Promise<void>;
  /** Prints a text that is the result, without a change; on a terminal, without characters that it would obey. */
  verbatim(text: string): Promise<void>;
  /** Prints bytes that are the result. */
  bytes(from: Uint8Array): Promise<void>;
  /** Ends the progress line. */
  endProgress(): void;
  /** Resolves once all output is written, or its reader has gone; rejects if it could not be written. */
  finished(): Promise<void>;
}

/** The interval of redrawing a terminal; logs and programs get progress less often. */
const TERMINAL_MS = 200;
const LOG_MS = 10_000;
const JSON_MS = 1000;

export function openOutput(clock: Clock, json: boolean): Output {
  const { stderr } = process;
  const stdout = standardOutput();
  const isTerminal = !json && stderr.isTTY;
  const every = json ? JSON_MS : isTerminal ? TERMINAL_MS : LOG_MS;
  const started = clock.monotonicMs();
  let last = started - (isTerminal ? TERMINAL_MS : 0);
  let phase: { readonly name: string; readonly since: number } | undefined;
  let isLineOpen = false;
  let lastAnswer: Promise<void> = Promise.resolve();
  let failure: SystemError | undefined;
  // Unwritable progress (a full disk, a closed terminal) must not end a backup.
  stderr.on('error', () => {});

  function endProgress(): void {
    if (isLineOpen) stderr.write('\n');
    isLineOpen = false;
  }
  /** Short output is written without waiting; `finished` reports its failure. */
  function print(text: string): void {
    lastAnswer = stdout.write(`${text}\n`).catch((cause: unknown) => {
      if (!(cause instanceof SystemError)) throw cause;
      if (cause.code !== 'UNREACHABLE') failure ??= cause;
    });
  }
  function line(object: object): void {
    print(jsonText(object));
  }
  function progress(event: Progress): void {
    const now = clock.monotonicMs();
    if (phase?.name !== event.phase) {
      endProgress();
      phase = { name: event.phase, since: now };
    }
    if (now - last < every && event.position < event.total) return;
    last = now;
    if (json) return line(event);
    const text = progressText(event, (now - phase.since) / 1000);
    stderr.write(isTerminal ? `\r${printable(text)}\u001b[K` : `${printable(text)}\n`);
    isLineOpen = isTerminal;
  }
  function notice(event: Notice): void {
    endProgress();
    if (json) line(event);
    else stderr.write(`${printableLines(event.message)}\n`);
  }
  /** Resolves once it is passed on; rejects once the reader has gone, which ends a long output. */
  async function written(what: string | Uint8Array): Promise<void> {
    try {
      await stdout.write(what);
    } catch (cause) {
      throw cause instanceof SystemError && cause.code === 'UNREACHABLE'
        ? new Interrupted()
        : cause;
    }
  }
  function news(event: SessionStep | Change): void {
    endProgress();
    const text = newsText(event);
    if (json) line(event);
    else if (text !== undefined) print(printable(text));
  }
  return {
    json,
    endProgress,
    report(event) {
      if (event.event === 'progress') progress(event);
      else if (event.event === 'notice') notice(event);
      else news(event);
    },
    result(value, text) {
      endProgress();
      if (json) line(value);
      else print(printableLines(text()));
    },
    async part(value, text) {
      endProgress();
      await written(`${json ? jsonText(value) : text()}\n`);
    },
    verbatim: (text) => written(process.stdout.isTTY ? printableLines(text) : text),
    bytes: written,
    print,
    async finished() {
      await lastAnswer;
      if (failure) throw failure;
    },
    say(text) {
      endProgress();
      if (!json) stderr.write(`${printableLines(text)}\n`);
    },
  };
}

function stepText({ time, state, power, waits, message }: SessionStep): string {
  if (message !== null) return `${time}  ${message}`;
  const machine = power === null ? '' : `, its machine is ${power}`;
  return `${time}  ${state}${machine}${waits === null ? '' : `; waits: ${waits}`}`;
}

/** Undefined: what operations changed is for programs; people see it in lists. */
function newsText(change: SessionStep | Change): string | undefined {
  if (change.event === 'changed') return undefined;
  if (change.event === 'step') return stepText(change);
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

/** A line of facts: a word, and what it is. */
export function fact(head: string, text: string): string {
  return `${head.padEnd(16)}${text}`;
}

/** Columns as wide as their widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].map((row) => row.map(printable));
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
