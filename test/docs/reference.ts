import { allCommands, wordsOf } from '../../src/cli/base/noun.ts';
import { usageOf } from '../../src/cli/base/rows.ts';
import { NOUNS } from '../../src/cli/reference/nouns.ts';

export const REFERENCE = 'docs/reference.md';
const [BEGIN, END] = ['<!-- commands: npm run docs:reference -->\n', '<!-- end of commands -->\n'];

/** The page with the tables of all commands as the program has them: a group of nouns is a heading. */
export async function withCommands(page: string): Promise<string> {
  const [head, rest] = page.split(BEGIN) as [string, string];
  const tail = rest.split(END)[1]!;
  return `${head}${BEGIN}\n${await tables()}\n${END}${tail}`;
}

async function tables(): Promise<string> {
  const commands = new Map(await allCommands(NOUNS));
  const groups = Map.groupBy(NOUNS, ({ group }) => group);
  return [...groups]
    .map(([group, nouns]) => {
      const rows = nouns.flatMap((noun) =>
        Object.keys(noun.commands).map((verb) => {
          const words = wordsOf(noun.name, verb);
          const { summary, args, options } = commands.get(words)!;
          const usage = `${words} ${usageOf(args, options)}`.trimEnd();
          return [`\`${usage.replaceAll('|', '\\|')}\``, summary] as const;
        }),
      );
      return `## ${group}\n\n${table([['command', 'what it does'], ...rows])}`;
    })
    .join('\n');
}

/** As the formatter lays it out. */
function table(rows: readonly (readonly [string, string])[]): string {
  const widths = [0, 1].map((at) => Math.max(...rows.map((row) => row[at]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((it, at) => it.padEnd(widths[at]!)).join(' | ')} |\n`;
  const [head, ...rest] = rows;
  return [head!, widths.map((width) => '-'.repeat(width)), ...rest].map(line).join('');
}
