import { UsageError } from './base/command-errors.ts';

/** A command line has a hundred disks at most, with their paths. */
const LENGTH_MAX = 64 * 1024;
/**
 * Characters with a meaning for a shell, and line breaks. There is no shell here: they are refused, to make that
 * clear.
 */
// oxlint-disable-next-line no-control-regex -- these characters are refused
const SHELL = /[;&|<>()$`\u0000-\u0008\u000a-\u001f\u007f]/;
const WORD = /((?:'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^ \t'"\\])+)[ \t]*/y;
const PART = /'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^'"\\]+)/g;

/**
 * The words of a command line as a person writes them for a shell: quoted, or with backslashes. Nothing is expanded
 * or replaced. Throws UsageError for parts that only a shell could carry out.
 */
export function commandWords(line: string): string[] {
  if (line.length > LENGTH_MAX) throw new UsageError('the command is too long');
  const words: string[] = [];
  let at = /^[ \t]*/.exec(line)![0].length;
  while (at < line.length) {
    WORD.lastIndex = at;
    const [found, word] = WORD.exec(line) ?? [];
    if (found === undefined || word === undefined) throw new UsageError('a quote has no end');
    words.push(word.replaceAll(PART, plain));
    at += found.length;
  }
  return words;
}

function plain(
  _part: string,
  single: string | undefined,
  double: string | undefined,
  escaped: string | undefined,
  bare: string | undefined,
): string {
  if (bare !== undefined) {
    const special = SHELL.exec(bare)?.[0];
    if (special === undefined) return bare;
    throw new UsageError(`${JSON.stringify(special)} means nothing here: there is no shell`);
  }
  return single ?? double?.replaceAll(/\\(["\\])/g, '$1') ?? escaped ?? '';
}
