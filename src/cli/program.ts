import { Command as Parser, CommanderError, Option } from 'commander';
import type { Command, Input, Row } from './base/command.ts';
import { commandHelp, generalHelp, nounHelp, type NounLine, overview } from './reference/help.ts';
import { GENERAL, signature, usageOf } from './base/rows.ts';
import { UsageError } from './base/command-errors.ts';
import { type Noun, wordsOf } from './base/noun.ts';

/*
 * Splits a command line. The library only handles words: which command it is, which words are options, and what was
 * probably meant if there is no such command. Values are judged elsewhere, and the help is our own.
 */

/** The parsed command line. */
export interface Asked {
  readonly command: Command;
  readonly input: Input;
}

/** Undefined: help was requested and printed. Throws UsageError. */
export async function read(
  words: readonly string[],
  nouns: readonly Noun[],
  print: (text: string) => void,
): Promise<Asked | undefined> {
  if (words[0] === 'help' && words[1] === 'options') {
    print(generalHelp());
    return undefined;
  }
  // "help session keep" would go past the hook that loads a noun.
  const line = words[0] === 'help' ? [...words.slice(1), '--help'] : words;
  const found: { asked?: Asked } = {};
  const onAsked = (asked: Asked): void => void (found.asked = asked);
  try {
    await programOf(line, nouns, { print, onAsked }).parseAsync([...line], { from: 'user' });
  } catch (cause) {
    if (!(cause instanceof CommanderError)) throw cause;
    if (cause.exitCode === 0) return undefined;
    throw new UsageError(messageOf(cause), { cause });
  }
  return found.asked;
}

/** The library quotes an unknown option as it was given: `--passphrase=...`, with what may be a secret. */
function messageOf({ code, message }: CommanderError): string {
  // Only a noun, or nothing at all: its help is printed.
  if (code === 'commander.help') return 'no command was given';
  const text = message.replace(/^error: /, '').replaceAll('\n', ' ');
  const known = text.replace(/^unknown option '(--[^'=]*)=.*'/s, "unknown option '$1'");
  return code === 'commander.unknownCommand' ? `${known}: see "holdfast --help"` : known;
}

function programOf(
  line: readonly string[],
  nouns: readonly Noun[],
  { print, onAsked }: { print(text: string): void; onAsked(asked: Asked): void },
): Parser {
  const write = (text: string): void => print(text.trimEnd());
  const program = new Parser('holdfast')
    .exitOverride()
    // Before any command is created, since each inherits from its parent. The library's own errors quote the input.
    .configureOutput({ writeOut: write, writeErr: write, outputError: () => {} })
    .helpCommand(false)
    .helpOption('-h, --help', 'help');
  for (const row of GENERAL) program.addOption(optionOf(row));
  program.helpInformation = () => `${overview(nouns.map(lineOf))}\n`;
  for (const { name } of nouns) program.command(name).helpCommand(false);
  program.hook('preSubcommand', async (_program, parser) => {
    const noun = nouns.find(({ name }) => name === parser.name())!;
    await addCommands(parser, { noun, line, onAsked });
  });
  return program;
}

function lineOf({ name, group, about, commands }: Noun): NounLine {
  return { name, group, about, verbs: Object.keys(commands).filter((verb) => verb !== '') };
}

interface Wanted {
  readonly noun: Noun;
  readonly line: readonly string[];
  readonly onAsked: (asked: Asked) => void;
}

/** Adds the command that the line names; if it names none, all of the noun, for its help and for suggestions. */
async function addCommands(parser: Parser, { noun, line, onAsked }: Wanted): Promise<void> {
  const verbs = Object.keys(noun.commands);
  const next = line[line.indexOf(noun.name) + 1];
  // The noun as a command would take the options of its verbs for its own.
  const hasVerb = verbs.some((verb) => verb.split(' ')[0] === next);
  const named = verbs.filter((verb) =>
    verb === '' ? !hasVerb : verb.split(' ').every((it) => line.includes(it)),
  );
  const loaded = await Promise.all(
    (named.length > 0 ? named : verbs).map(
      async (verb) => [verb, await noun.commands[verb]!()] as const,
    ),
  );
  const ownHelp = (): string => `${nounHelp(noun.name, noun.about, loaded)}\n`;
  parser.helpInformation = ownHelp;
  for (const [verb, command] of loaded) {
    let leaf = parser;
    // Created by its parent: `addCommand` would inherit no settings, and so could end the process.
    for (const word of verb.split(' ').filter((it) => it !== '')) {
      leaf =
        leaf.commands.find((it) => it.name() === word) ?? leaf.command(word).helpCommand(false);
      leaf.helpInformation = ownHelp;
    }
    fill(leaf, wordsOf(noun.name, verb), { command, onAsked });
  }
}

function fill(
  parser: Parser,
  words: string,
  { command, onAsked }: { readonly command: Command } & Pick<Wanted, 'onAsked'>,
): void {
  for (const row of command.options) parser.addOption(optionOf(row));
  parser.helpInformation = () => `${commandHelp(words, command)}\n`;
  parser.allowExcessArguments(true).action(() => {
    const { args } = parser;
    const isOpen = command.args.at(-1)?.kind === 'list';
    const min = command.args.filter(({ isRequired }) => isRequired).length;
    if (args.length < min || (!isOpen && args.length > command.args.length)) {
      const usage = usageOf(command.args, command.options);
      throw new UsageError(`usage: holdfast ${`${words} ${usage}`.trimEnd()}`);
    }
    onAsked({ command, input: inputOf(args, parser) });
  });
}

function optionOf(row: Row): Option {
  const option = new Option(signature(row).replace(/ (.*)$/s, ' <value>'));
  if (row.kind !== 'list') return option;
  // A variadic option of the library would take the arguments after it as well.
  return option.argParser((text: string, before: readonly string[] | undefined) => [
    ...(before ?? []),
    text,
  ]);
}

function inputOf(args: readonly string[], parser: Parser): Input {
  const values = new Map<string, unknown>();
  for (let it: Parser | null = parser; it; it = it.parent) {
    for (const option of it.options)
      values.set(option.name(), it.getOptionValue(option.attributeName()));
  }
  const text = (option: string): string | undefined => {
    const value = values.get(option);
    return typeof value === 'string' ? value : undefined;
  };
  return {
    args,
    text,
    has: (option) => values.get(option) !== undefined,
    texts: (option) => (values.get(option) ?? []) as readonly string[],
    flag: (option) => values.get(option) === true,
    required(option) {
      const value = text(option);
      if (value === undefined) throw new UsageError(`--${option} is missing`);
      return value;
    },
  };
}
