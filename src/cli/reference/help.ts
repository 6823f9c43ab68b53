import { EXIT_CODES } from '../../operations/base/failure.ts';
import type { Command, Row } from '../base/command.ts';
import { GENERAL, signature, usageOf } from '../base/rows.ts';

/** No line is longer, regardless of the terminal. */
const WIDTH = 79;
/** Without the full stop of a sentence. */
export const ABOUT = 'keeps backups of virtual machines and runs them from there';
const POINTS =
  'POINT is the ID of a recovery point, the beginning of one, or MACHINE@latest; SET/ may stand before it.';

/** A noun in the overview, with its commands. */
export interface NounLine {
  readonly name: string;
  readonly group: string;
  readonly about: string;
  readonly verbs: readonly string[];
}

export function overview(nouns: readonly NounLine[]): string {
  const groups = [...new Set(nouns.map(({ group }) => group))];
  const width = Math.max(...nouns.map(({ name }) => name.length));
  const lines = (group: string) =>
    nouns
      .filter((it) => it.group === group)
      .flatMap(({ name, about, verbs }) => {
        const text = verbs.length > 0 ? `${about}: ${verbs.join(', ')}` : about;
        return entry(name, text, width + 4);
      });
  return [
    `Holdfast ${ABOUT}.`,
    '',
    'Usage: holdfast COMMAND ... [options]',
    '"holdfast NOUN --help" lists the commands of a noun.',
    ...groups.flatMap((group) => ['', `${group}:`, ...lines(group)]),
    '',
    'Options of every command: "holdfast help options"',
  ].join('\n');
}

/** The options of every command, what POINT means, and the exit codes. */
export function generalHelp(): string {
  const codes = Object.entries(EXIT_CODES).map(([kind, code]) => `${code} ${kind}`);
  return [
    'Options of every command:',
    ...rowLines(GENERAL),
    '',
    ...wrapped(POINTS, 0),
    '',
    ...wrapped(`Exit codes: 0 done, ${codes.join(', ')}`, 0),
  ].join('\n');
}

export function nounHelp(
  name: string,
  about: string,
  commands: readonly (readonly [words: string, command: Command])[],
): string {
  const width = Math.max(...commands.map(([words]) => words.length));
  return [
    `Usage: holdfast ${name} COMMAND ...`,
    '',
    ...wrapped(sentence(about), 0),
    '',
    ...commands.flatMap(([words, { summary }]) => entry(words, summary, width + 4)),
    '',
    `"holdfast ${name} COMMAND --help" shows the options and an example.`,
  ].join('\n');
}

export function commandHelp(words: string, command: Command): string {
  const { summary, about, args, options, examples } = command;
  const [plain, queued] = [
    options.filter((it) => !it.withQueue),
    options.filter((it) => it.withQueue),
  ];
  const block = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length > 0 ? ['', title, ...lines] : [];
  const [usage = '', ...more] = wrapped(`holdfast ${words} ${usageOf(args, options)}`.trimEnd(), 4);
  return [
    `Usage: ${usage.trimStart()}`,
    ...more,
    '',
    ...wrapped(sentence(summary), 0),
    ...about.flatMap((it) => wrapped(it, 0)),
    ...block('Arguments:', argumentLines(args)),
    ...block('Options:', rowLines(plain)),
    ...block('With --queue:', rowLines(queued)),
    ...block(examples.length > 1 ? 'Examples:' : 'Example:', examples.flatMap(exampleLines)),
    '',
    'Options of every command: "holdfast help options"',
  ].join('\n');
}

function sentence(summary: string): string {
  return `${summary[0]!.toUpperCase()}${summary.slice(1)}.`;
}

function argumentLines(rows: readonly Row[]): readonly string[] {
  const width = Math.max(0, ...rows.map(({ placeholder }) => placeholder.length)) + 4;
  return rows.flatMap(({ placeholder, description }) => entry(placeholder, description, width));
}

function rowLines(rows: readonly Row[]): readonly string[] {
  const longest = Math.max(0, ...rows.map((row) => signature(row).length));
  const width = Math.min(longest + 4, 28);
  return rows.flatMap((row) =>
    entry(
      signature(row),
      row.kind === 'list' ? `${row.description}; may be repeated` : row.description,
      width,
    ),
  );
}

/** A term, and its meaning beside it, or below it if the term is too long. */
function entry(term: string, text: string, column: number): readonly string[] {
  const lines = wrapped(text, column);
  const isBeside = term.length + 4 <= column;
  if (!isBeside) return [`  ${term}`, ...lines];
  return [`  ${term}`.padEnd(column) + lines[0]!.trimStart(), ...lines.slice(1)];
}

/** Wraps to the width; words are never cut. */
function wrapped(text: string, indent: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((it) => `${' '.repeat(indent)}${it}`);
}

/** An example as for a shell, over several lines if it is long. */
function exampleLines(example: string): readonly string[] {
  const lines: string[] = [];
  let line = '  holdfast';
  // Quoted text stays together, and an option with its value.
  for (const part of example.match(/--\S+(?: (?:'[^']*'|(?!--)\S+))?|(?:'[^']*'|\S)+/g) ?? []) {
    if (line.length + 1 + part.length > WIDTH - 2) {
      lines.push(`${line} \\`);
      line = `    ${part}`;
    } else line = `${line} ${part}`;
  }
  return [...lines, line];
}
