import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path/posix';

/** What readers follow: the README and every chapter. */
export const PAGES: readonly string[] = [
  'README.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

/** Text between two lines of three backticks, or lines that are indented by four spaces. */
export interface Block {
  readonly page: string;
  /** The number of its first line, from 1. */
  readonly line: number;
  /** What stands behind the first three backticks; `indented`: there are none. */
  readonly language: string;
  readonly lines: readonly string[];
  /** What the comment above it says. */
  readonly mark: string | undefined;
}

/** The commands of a block of shell, each on one line: what is continued is joined, comments are left out. */
export function commandsOf({ lines }: Block): string[] {
  return lines
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '');
}

export function blocksOf(page: string): Block[] {
  const all = readFileSync(page, 'utf8').split('\n');
  const blocks: Block[] = [];
  for (let at = 0; at < all.length; at++) {
    const fence = /^ *```(\w*)/.exec(all[at]!);
    const isBlock = fence !== null || (/^ {4,}\S/.test(all[at]!) && all[at - 1] === '');
    if (!isBlock) continue;
    const start = at + (fence === null ? 0 : 1);
    const isLast = (line: string): boolean =>
      fence === null ? !/^( {4,}\S|$)/.test(line) : /^ *```$/.test(line);
    for (at = start; at < all.length && !isLast(all[at]!); at++);
    const language = fence === null ? 'indented' : fence[1]!;
    const above = all.slice(0, start - 1).findLast((line) => line !== '') ?? '';
    const [, mark] = /^ *<!-- (.*) -->$/.exec(above) ?? [];
    blocks.push({ page, line: start + 1, language, lines: all.slice(start, at), mark });
  }
  return blocks;
}
