import { parseArgs } from 'node:util';
import { printableLines } from '../lib/printable.ts';
import type { House } from '../engine/base/engine.ts';
import { EXIT_CODES } from '../operations/failure.ts';
import { systemClock } from '../sys/base/clock.ts';
import { COMMANDS, findCommand } from './reference/commands.ts';
import { GENERAL_OPTIONS } from './base/general-options.ts';
import type { Command, Context, Input } from './base/command.ts';
import { Interrupted } from './base/interrupted.ts';
import { commandHelp, overview } from './reference/help.ts';
import { openOutput, type Output } from './base/output.ts';
import { ServiceFailure } from '../client/service-failure.ts';
import { noStoreNamed, openCalls } from './base/client.ts';
import { givenService, requireHere } from './base/remote-options.ts';
import { descriptorOnce, isSecretGiven, type SecretOptions, secretSource } from './base/secrets.ts';
import {
  CheckFailed,
  DamageFound,
  KeyDoesNotFit,
  JobFailed,
  UsageError,
} from './base/command-errors.ts';

/** Runs one command line and answers the exit code. */
export async function main(words: readonly string[]): Promise<number> {
  // npm runs scripts in the project's directory, people mean the one that they are in.
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
  const found = findCommand(words);
  if (!found) {
    const isAsked = words.some((word) => word === '--help' || word === '-h' || word === 'help');
    if (isAsked || words.length === 0) {
      output.print(overview(COMMANDS));
      return words.length === 0 ? EXIT_CODES.usage : 0;
    }
    if (words[0]!.startsWith('-')) {
      throw new UsageError(`options stand behind the command: holdfast COMMAND ... ${words[0]}`);
    }
    throw new UsageError(`unknown command "${words.slice(0, 2).join(' ')}": see "holdfast --help"`);
  }
  const command = await found.load();
  const { values, positionals } = parsed(command, words.slice(found.words.length));
  if (values['help'] === true) {
    output.print(commandHelp(found, command));
    return 0;
  }
  const [min, max] = command.takes;
  if (positionals.length < min || positionals.length > max) {
    throw new UsageError(`usage: holdfast ${found.words.join(' ')} ${command.usage}`);
  }
  await command.prepare?.();
  await runCommand(command, inputOf(positionals, values), output);
  return 0;
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

function parsed(
  command: Command,
  args: readonly string[],
): { readonly values: Values; readonly positionals: readonly string[] } {
  try {
    return parseArgs({
      args: [...args],
      options: { ...GENERAL_OPTIONS, ...command.options },
      allowPositionals: true,
    });
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

function inputOf(args: readonly string[], values: Values): Input {
  const text = (option: string): string | undefined => {
    const value = values[option];
    return typeof value === 'string' ? value : undefined;
  };
  return {
    args,
    has: (option) => values[option] !== undefined,
    text,
    texts: (option) => (values[option] as string[] | undefined) ?? [],
    flag: (option) => values[option] === true,
    required(option) {
      const value = text(option);
      if (value === undefined) throw new UsageError(`--${option} is missing`);
      return value;
    },
  };
}

/** A connection that drops (SIGHUP) leaves nothing half done either. */
const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

async function runCommand(command: Command, input: Input, output: Output): Promise<void> {
  const interrupt = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void =>
    interrupt.abort(new Interrupted('interrupted', signal === 'SIGHUP'));
  for (const signal of STOP_SIGNALS) process.once(signal, onSignal);
  const storeDirectory = input.text('store') ?? process.env['HOLDFAST_STORE'];
  const secretOptions: SecretOptions = {
    passphraseFile: input.text('passphrase-file'),
    passphraseFd: descriptorOnce(input.text('passphrase-fd')),
    recoveryKeyFile: input.text('recovery-key-file'),
    credentials: process.env['CREDENTIALS_DIRECTORY'],
  };
  let house: House | undefined;
  const named = givenService(input, process.env['HOLDFAST_SOCKET']);
  async function openOnce(): Promise<House> {
    requireHere(named);
    const directory = storeDirectory ?? (await calls.servedStore());
    if (directory === undefined) throw await noStoreNamed();
    const { openHouse } = await import('../engine/base/engine.ts');
    return (house ??= await openHouse(directory));
  }
  const calls = openCalls({
    named,
    store: storeDirectory,
    house: openOnce,
    secrets: secretOptions,
    report: output.report,
    signal: interrupt.signal,
  });
  const context: Context = {
    output,
    storeDirectory,
    signal: interrupt.signal,
    secrets: secretSource(secretOptions),
    hasSecret: isSecretGiven(secretOptions),
    house: openOnce,
    named,
    ...calls,
  };
  try {
    await command.run(input, context);
  } finally {
    await house?.[Symbol.asyncDispose]();
    for (const signal of STOP_SIGNALS) process.off(signal, onSignal);
  }
}

async function failed(error: unknown, output: Output): Promise<number> {
  const { firstFailure, kindOfFailure } = await import('../engine/base/failures.ts');
  const cause = firstFailure(error);
  const own = OWN_KINDS.find(([type]) => cause instanceof type)?.[1];
  const kind = own ?? (cause instanceof ServiceFailure ? cause.kind : kindOfFailure(cause));
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
  [JobFailed, 'failed'],
  [CheckFailed, 'failed'],
] as const;
