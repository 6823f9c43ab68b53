import type { Command } from './command.ts';

/** A noun after the program's name: its commands by their words, '' if it is a command itself. */
export interface Noun {
  readonly name: string;
  readonly group: string;
  /** Before "list, show ..." in the overview, and a sentence in its own help. */
  readonly about: string;
  readonly commands: Readonly<Record<string, () => Promise<Command>>>;
}

/** The words of a command after the program's name. */
export function wordsOf(noun: string, verb: string): string {
  return verb === '' ? noun : `${noun} ${verb}`;
}

/** All commands, by the words after the program's name. */
export async function allCommands(
  nouns: readonly Noun[],
): Promise<readonly (readonly [words: string, Command])[]> {
  return Promise.all(
    nouns.flatMap(({ name, commands }) =>
      Object.entries(commands).map(
        async ([verb, load]) => [wordsOf(name, verb), await load()] as const,
      ),
    ),
  );
}
