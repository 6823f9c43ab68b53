import type { Command, CommandEntry } from '../base/command.ts';
import { GENERAL_OPTIONS } from '../base/general-options.ts';
import { COMMON_HELP } from './help.ts';

/*
 * What may come next on a command line. All is read out of the table of commands and of what --help says of each:
 * there is no second list. Words in capitals there are what is to be named.
 */
export interface Completion {
  /** What can be written there as it is. */
  readonly words: readonly string[];
  /** Of these, what there is: the service knows. */
  readonly names: readonly NameKind[];
  /** The shell knows these. */
  readonly files: boolean;
  /** What stands before, in the place of a recovery point; of that the disks. */
  readonly point: string | undefined;
}

const NAMES = {
  POINT: 'points',
  SESSION: 'sessions',
  SET: 'sets',
  MACHINE: 'machines',
  DISK: 'disks',
  JOB: 'jobs',
  TOKEN: 'tokens',
  SCHEDULE: 'schedules',
} as const;
export type NameKind = (typeof NAMES)[keyof typeof NAMES];

const FILES = new Set(['FILE', 'DIR', 'DIRECTORY', 'PATH', 'IMAGE', 'DEVICE']);
const NOTHING: Completion = { words: [], names: [], files: false, point: undefined };

/** `words` are those after the program's name; the last one is being written, and may be empty. */
export async function completionOf(
  words: readonly string[],
  commands: readonly CommandEntry[],
): Promise<Completion> {
  const before = words.slice(0, -1);
  const entry = commands.find((it) => it.words.every((word, at) => before[at] === word));
  if (entry) {
    return ofCommand(await entry.load(), before.slice(entry.words.length), words.at(-1) ?? '');
  }
  const next = commands
    .filter((it) => before.every((word, at) => it.words[at] === word))
    .flatMap((it) => it.words[before.length] ?? []);
  const more = before.length === 0 ? ['--help'] : [];
  return { ...NOTHING, words: [...new Set(next), ...more] };
}

function ofCommand(command: Command, before: readonly string[], current: string): Completion {
  const options: Command['options'] = { ...GENERAL_OPTIONS, ...command.options };
  const positionals: string[] = [];
  const given = new Set<string>();
  let open: string | undefined;
  let isOver = false;
  for (const word of before) {
    if (open !== undefined) {
      open = undefined;
    } else if (word === '--') {
      isOver = true;
    } else if (!isOver && word.startsWith('--')) {
      const [name = '', value] = word.slice(2).split('=');
      given.add(name);
      const isText = options[name]?.type === 'string';
      if (isText && value === undefined) open = name;
    } else {
      positionals.push(word);
    }
  }
  if (open !== undefined) return meant(valueOf(command, open), undefined);
  if (!isOver && current.startsWith('-')) {
    const fresh = Object.entries(options).filter(
      ([name, { multiple = false }]) => multiple || !given.has(name),
    );
    return { ...NOTHING, words: fresh.map(([name]) => `--${name}`) };
  }
  const [, max] = command.takes;
  if (positionals.length >= max) return NOTHING;
  const places = argumentsOf(command);
  return meant(places[positionals.length] ?? places.at(-1), positionals[0]);
}

/** An option with its value, as in `--to DIRECTORY|FILE|-` and `--keep-... N`. */
const OPTION = /--[\w-]+(?:\.\.\.)?(?: [A-Za-z][^\s\])]*)?/g;

/** The places of the arguments, as in `POINT|SESSION DISK [PATH]`. */
function argumentsOf({ usage }: Command): readonly string[] {
  return usage.replaceAll(OPTION, '').match(/[A-Z]+(?:\|[A-Z]+)*/g) ?? [];
}

/** What --help says of an option's value, wherever it does. */
function valueOf({ usage, details }: Command, option: string): string {
  const value = new RegExp(`--${option} ([A-Za-z][^\\s\\]),]*)`, 'g');
  const found = [usage, ...details, COMMON_HELP].join('\n').matchAll(value);
  return [...found].map(([, it]) => it).join('|');
}

function meant(place: string | undefined, point: string | undefined): Completion {
  const kinds = [...new Set(place?.split('|'))];
  return {
    words: kinds.filter((kind) => /^[a-z]/.test(kind)),
    names: kinds.flatMap((kind) => NAMES[kind as keyof typeof NAMES] ?? []),
    // As the image in NAME=IMAGE.
    files: kinds.some((kind) => FILES.has(kind.split('=').at(-1)!)),
    point,
  };
}
