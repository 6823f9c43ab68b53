import { join } from 'node:path/posix';
import { printableLines } from '../lib/printable.ts';
import { EXIT_CODES } from '../operations/base/failure.ts';
import { systemClock } from '../sys/base/clock.ts';
import { Interrupted } from './base/interrupted.ts';
import { NOUNS } from './reference/nouns.ts';
import { openOutput, type Output } from './base/output.ts';
import { read } from './program.ts';
import {
  BackupIncomplete,
  CheckFailed,
  DamageFound,
  KeyDoesNotFit,
  JobFailed,
  NotProven,
  SessionDiscarded,
  UsageError,
} from './base/command-errors.ts';

const PACKAGE_LENGTH_MAX = 64 * 1024;

/** Runs one command line and returns the exit code. */
export async function main(words: readonly string[]): Promise<number> {
  // npm runs scripts in the project's directory; people mean their current one.
  const { npm_lifecycle_event: script, INIT_CWD: directory } = process.env;
  if (script === 'holdfast' && directory !== undefined) process.chdir(directory);
  const end = words.indexOf('--');
  const options = end < 0 ? words : words.slice(0, end);
  const output = openOutput(systemClock(), options.includes('--json'));
  try {
    const code = await dispatch(words, output);
    await output.finished();
    return code;
  } catch (cause) {
    output.endProgress();
    return await failed(cause, output);
  }
}

async function dispatch(words: readonly string[], output: Output): Promise<number> {
  if (words[0] === '--version') {
    output.print(await version());
    return 0;
  }
  const asked = await read(words, NOUNS, output.print);
  if (!asked) return 0;
  const { command, input } = asked;
  // Help needs none of a command's code; a command's code is compiled before it prepares itself.
  const { runCommand } = await import('./run-command.ts');
  await command.prepare?.();
  await runCommand(command, input, output);
  return 0;
}

async function version(): Promise<string> {
  const { realFileSystem } = await import('../sys/files/real-file-system.ts');
  const path = join(import.meta.dirname, '..', '..', 'package.json');
  const bytes = await realFileSystem().readFile(path, PACKAGE_LENGTH_MAX);
  return (JSON.parse(Buffer.from(bytes).toString('utf8')) as { version: string }).version;
}

async function failed(error: unknown, output: Output): Promise<number> {
  const { firstFailure, kindOfFailure } = await import('../engine/base/failures.ts');
  const cause = firstFailure(error);
  const own = OWN_KINDS.find(([type]) => cause instanceof type)?.[1];
  const kind = own ?? kindOfFailure(cause);
  if (kind === undefined) throw cause;
  const { message } = cause as Error;
  if (output.json) output.print(JSON.stringify({ event: 'error', kind, message }));
  const isOwnWish = cause instanceof Interrupted || kind === 'interrupted';
  const text = printableLines(message);
  if (!isOwnWish) process.stderr.write(`holdfast: ${text}\n`);
  else if (text !== '') process.stderr.write(`${text}\n`);
  return EXIT_CODES[kind];
}

const OWN_KINDS = [
  [UsageError, 'usage'],
  [Interrupted, 'interrupted'],
  [DamageFound, 'corrupt'],
  [KeyDoesNotFit, 'wrong-key'],
  [BackupIncomplete, 'failed'],
  [JobFailed, 'failed'],
  [SessionDiscarded, 'failed'],
  [CheckFailed, 'failed'],
  [NotProven, 'not-proven'],
] as const;
