import type { NameKind } from '../../lib/schema.ts';
import type { Command, Row } from '../base/command.ts';
import { flag, GENERAL } from '../base/rows.ts';
import type { Noun } from '../base/noun.ts';

/** What may come next on a command line, from the same data as --help. */
export interface Completion {
  /** Literal words, with their meanings. */
  readonly words: readonly (readonly [word: string, about: string])[];
  /** Kinds of names, which the service knows. */
  readonly names: readonly NameKind[];
  /** Whether files may follow, which the shell knows. */
  readonly files: boolean;
  /** The first argument: disks of a recovery point, and machines of a hypervisor, are offered. */
  readonly first: string | undefined;
}

const NOTHING: Completion = { words: [], names: [], files: false, first: undefined };
const HELP = flag('help', 'help for this command');

/** `words` are those after the program's name; the last one is being typed, and may be empty. */
export async function completionOf(
  words: readonly string[],
  nouns: readonly Noun[],
): Promise<Completion> {
  const [before, current] = [words.slice(0, -1), words.at(-1) ?? ''];
  const [first, ...rest] = before;
  if (first === undefined) {
    const all = nouns.map(({ name, about }) => [name, about] as const);
    return { ...NOTHING, words: [...all, ['--help', 'all commands']] };
  }
  const noun = nouns.find(({ name }) => name === first);
  if (!noun) return NOTHING;
  const verbs = Object.keys(noun.commands).map((it) => (it === '' ? [] : it.split(' ')));
  // A noun that is a command too has the words that are no verb.
  const longest = verbs.toSorted((a, b) => b.length - a.length);
  const verb = longest.find((it) => it.every((word, at) => rest[at] === word));
  if (verb) {
    const command = await noun.commands[verb.join(' ')]!();
    return ofCommand(command, rest.slice(verb.length), current);
  }
  const next = verbs.filter((it) => rest.every((word, at) => it[at] === word));
  const found = await Promise.all(
    next.map(async (it) => {
      const word = it[rest.length]!;
      const isLast = it.length === rest.length + 1;
      return [word, isLast ? (await noun.commands[it.join(' ')]!()).summary : ''] as const;
    }),
  );
  return { ...NOTHING, words: [...new Map(found)] };
}

function ofCommand(command: Command, before: readonly string[], current: string): Completion {
  const options = [...command.options, ...GENERAL, HELP];
  const positionals: string[] = [];
  const given = new Set<string>();
  let open: Row | undefined;
  let isOver = false;
  for (const word of before) {
    if (open) {
      open = undefined;
    } else if (word === '--') {
      isOver = true;
    } else if (!isOver && word.startsWith('--')) {
      const [name = '', value] = word.slice(2).split('=');
      given.add(name);
      const option = options.find((it) => it.name === name);
      if (option?.kind !== 'flag' && value === undefined) open = option;
    } else {
      positionals.push(word);
    }
  }
  if (open) return meant(open, undefined);
  if (!isOver && current.startsWith('-')) {
    const fresh = options.filter(({ name, kind }) => kind === 'list' || !given.has(name));
    return {
      ...NOTHING,
      words: fresh.map(({ name, description }) => [`--${name}`, description] as const),
    };
  }
  const last = command.args.at(-1);
  const place = command.args[positionals.length] ?? (last?.kind === 'list' ? last : undefined);
  return place ? meant(place, positionals[0]) : NOTHING;
}

function meant({ words, names, files }: Row, first: string | undefined): Completion {
  return { words: words.map((word) => [word, ''] as const), names, files, first };
}
