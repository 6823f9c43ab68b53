import { deepEqual, ok } from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { test } from 'tap';
import { EXIT_CODES } from '../../src/operations/base/failure.ts';
import { runCli } from '../support/cli.ts';
import { program } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { type Block, blocksOf, commandsOf, PAGES } from './blocks.ts';

const shell = PAGES.flatMap(blocksOf).filter(({ language }) => language === 'sh');
const LINKED = [...PAGES, 'CONTRIBUTING.md'];

function placeOf({ page, line }: Block): string {
  return `${page}:${line}`;
}

test('the page of each format of a store has its row in docs/formats.md', async () => {
  const pages = readdirSync('src/formats/store', { recursive: true, encoding: 'utf8' });
  const rows = readFileSync('docs/formats.md', 'utf8');
  const isListed = (page: string): boolean => rows.includes(`](../src/formats/store/${page})`);
  deepEqual(
    pages.filter((page) => page.endsWith('.md') && !isListed(page)),
    [],
  );
});

// A block of another kind, or without one, would be neither typed nor marked.
test('commands stand in blocks of shell only', async () => {
  const others = PAGES.flatMap(blocksOf).filter(({ language }) => language !== 'sh');
  const strays = others.filter(
    ({ language, lines }) =>
      ['', 'indented', 'bash', 'shell', 'console'].includes(language) ||
      lines.some((line) => /^\s*(\$ |sudo |holdfast |systemctl |npm )/.test(line)),
  );
  deepEqual(strays.map(placeOf), []);
});

test('a block that no test types says why, and the tests that it names are there', async () => {
  for (const block of shell) {
    const { mark } = block;
    if (mark === undefined || mark === 'as root') continue;
    const [, reason = ''] = /^not run: (.+)$/.exec(mark) ?? [];
    ok(reason.length >= 10, `${placeOf(block)}: "${mark}" is neither "as root" nor "not run: WHY"`);
    const named = [...reason.matchAll(/\b(?:test|appliance|bench)\/[\w./-]*\w|\.ci\/[\w-]+/g)];
    for (const [path] of named) ok(existsSync(path), `${placeOf(block)}: ${path}`);
  }
});

test('commands that no test types are commands with these options', async () => {
  const marked = shell.filter(({ mark }) => mark?.startsWith('not run: ') === true);
  const typedNowhere = marked.flatMap((block) =>
    commandsOf(block).map((text) => ({ place: placeOf(block), text })),
  );
  const inSentences = PAGES.flatMap((page) =>
    [...readFileSync(page, 'utf8').matchAll(/`(holdfast [^`]+)`/g)].map(([, text]) => {
      return { place: page, text: text!.replaceAll('\n', ' ') };
    }),
  );
  const lines = [...typedNowhere, ...inSentences];
  const { stdout: general } = await runCli(['help', 'options']);
  const helps = new Map<string, Promise<string>>();
  const helpOf = async (words: string): Promise<string> => {
    const { code, stdout, stderr } = await runCli([...words.split(' '), '--help']);
    ok(code === 0, `holdfast ${words} --help: ${stderr}`);
    // A word that is not a command of its noun gets the help of the noun.
    const isOfNoun = / COMMAND /.test(stdout.split('\n')[0]!);
    const isNoun = stdout.startsWith(`Usage: holdfast ${words} COMMAND `);
    ok(!isOfNoun || isNoun, `holdfast ${words}: no such command`);
    return stdout;
  };
  for (const { place, text } of lines) {
    const [, words, rest] = /\bholdfast ((?:[a-z][a-z-]*(?: |$))+)(.*)/.exec(text) ?? [];
    if (words === undefined) continue;
    const key = words.trim();
    if (!helps.has(key)) helps.set(key, helpOf(key));
    const help = (await helps.get(key)!) + general;
    for (const [option] of rest!.replace(/'[^']*'/g, '').matchAll(/--[a-z][a-z-]*/g)) {
      ok(help.includes(option), `${place}: ${key} has no option ${option}`);
    }
  }
});

// Each heading of troubleshooting.md that quotes a message: what stands in capitals differs from one to the next.
test('the messages that the troubleshooting quotes are printed like that', async () => {
  const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join('src', name), 'utf8'))
    .join('\n')
    .replaceAll(/['"`] \+\n\s*['"`]/g, '');
  const quoted = [
    ...readFileSync('docs/troubleshooting.md', 'utf8').matchAll(/^### `(.+)`( .*)?$/gm),
  ].flatMap(([, message]) => message!.split(/\b(?!ID\b)[A-Z]{2,}\b/).map((part) => part.trim()));
  ok(quoted.length > 10);
  deepEqual(
    quoted.filter((part) => part.length > 3 && !sources.includes(part)),
    [],
  );
});

test('the settings that a chapter shows are settings', async () => {
  const blocks = PAGES.flatMap(blocksOf).filter(({ language }) => language === 'json');
  ok(blocks.length > 0);
  const file = join(temporaryDirectory(), 'holdfastd.json');
  for (const { lines } of blocks) {
    writeFileSync(file, lines.join('\n'));
    await program(process.execPath, 'src/daemon/main.ts', '--check', '--config', file);
  }
});

test('the exit codes that scripts read of are those of the program', async () => {
  const rows = readFileSync('docs/scripting.md', 'utf8').matchAll(/^\| (\d+) +\| `([a-z-]+)` /gm);
  deepEqual(
    Object.fromEntries(Array.from(rows, ([, code, kind]) => [kind, Number(code)])),
    EXIT_CODES,
  );
});

/** What a heading is called in a link, as web pages that show Markdown make it. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

function anchorsOf(page: string): string[] {
  const text = readFileSync(page, 'utf8').replaceAll(/^```.*?^```$/gms, '');
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading!));
}

test('links lead somewhere', async () => {
  const broken: string[] = [];
  for (const page of LINKED) {
    for (const [, target] of readFileSync(page, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [path, anchor] = target!.split('#') as [string, string?];
      const file = path === '' ? page : join(dirname(page), path);
      const isThere =
        existsSync(file) && (anchor === undefined || anchorsOf(file).includes(anchor));
      if (!isThere) broken.push(`${page}: ${target!}`);
    }
  }
  deepEqual(broken, []);
});

test('every chapter is reached from the README', async () => {
  const readme = readFileSync('README.md', 'utf8');
  deepEqual(
    PAGES.filter((page) => page !== 'README.md' && !readme.includes(`(${page})`)),
    [],
  );
});
