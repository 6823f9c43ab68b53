import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { commandHelp, generalHelp, nounHelp, overview } from '../../../src/cli/reference/help.ts';
import { allCommands } from '../../../src/cli/base/noun.ts';
import { NOUNS } from '../../../src/cli/reference/nouns.ts';
import { read } from '../../../src/cli/program.ts';
import { parts } from '../../../src/lib/schema.ts';
import { GENERAL } from '../../../src/cli/base/rows.ts';
import type { Operation } from '../../../src/operations/base/operation.ts';
import { OPERATIONS } from '../../../src/operations/operations.ts';
import { expectDone, runCli } from '../../support/cli.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { UsageError } from '../../../src/cli/base/command-errors.ts';

const commands = await allCommands(NOUNS);
const lines = NOUNS.map(({ name, group, about, commands: own }) => ({
  ...{ name, group, about, verbs: Object.keys(own).filter((it) => it !== '') },
}));

/** What a command line is refused with. */
async function refusalOf(...words: string[]): Promise<string> {
  try {
    await read(words, NOUNS, () => {});
  } catch (cause) {
    if (cause instanceof UsageError) return cause.message;
    throw cause;
  }
  return 'not refused';
}

test('help fits a terminal of 80 columns, and the overview a screen', async () => {
  const all = [
    overview(lines),
    generalHelp(),
    ...commands.map(([words, command]) => commandHelp(words, command)),
    ...NOUNS.map(({ name, about }) =>
      nounHelp(
        ...([name, about] as const),
        commands.filter(([words]) => words.startsWith(`${name} `)),
      ),
    ),
  ];
  deepEqual(
    all.flatMap((text) => text.split('\n')).filter((line) => line.length > 79),
    [],
  );
  ok(overview(lines).split('\n').length <= 60);
});

test('the help of each command has an example that the command takes', async () => {
  for (const [words, { examples }] of commands) {
    for (const example of examples) {
      ok(example.startsWith(words), example);
      const asked = await read(wordsIn(example), NOUNS, () => {});
      ok(asked, example);
    }
  }
});

/** As a shell splits an example, without what it does itself. */
function wordsIn(example: string): string[] {
  const found = example.replace(/ [<>].*$/, '').match(/(?:'[^']*'|\S)+/g) ?? [];
  return found.map((it) => it.replaceAll("'", ''));
}

function wordsFor(operation: string): string {
  // `backup create --from`
  if (operation === 'backup/machine') return 'backup create';
  if (operation === 'session/run') return 'run';
  if (operation === 'verify/point') return 'verify';
  return operation.replace(/^ssh-key/, 'ssh key').replace('/', ' ');
}

test('every operation for people has a command, and every command made of one its operation', async () => {
  const declared = Object.values<Operation>(OPERATIONS).filter(({ cli }) => cli);
  const words = declared.map(({ name }) => wordsFor(name));
  deepEqual(
    words.filter((it) => !commands.some(([own]) => own === it)),
    [],
  );
});

test('a command says of an operation what the operation says of itself', async () => {
  const summaries = new Map(commands.map(([words, { summary }]) => [words, summary]));
  for (const { name, summary } of Object.values<Operation>(OPERATIONS)) {
    if (name === 'backup/machine') continue;
    const words = wordsFor(name);
    equal(summaries.get(words) ?? summary, summary, words);
  }
});

test('the result of each is shown: by a sentence of its fields, or by a text of its own', async () => {
  const directory = new URL('../../../src/cli/render/', import.meta.url);
  const names = readdirSync(directory).filter(
    (it) => !/^(render|capacity-text|file-lines|retained-lines|written-disks)\.ts$/.test(it),
  );
  const found = await Promise.all(
    names.map(async (it) => {
      const module = (await import(new URL(it, directory).href)) as { readonly render: object };
      return Object.keys(module.render);
    }),
  );
  const written = new Set(found.flat());
  for (const { name, cli, result } of Object.values<Operation>(OPERATIONS)) {
    if (!cli) continue;
    equal(written.has(name), cli.says === undefined, name);
    const fields = [...(cli.says ?? '').matchAll(/\{(\w+)\}/g)].map(([, field]) => field!);
    deepEqual(
      fields.filter((it) => !parts(result).entries?.[it]),
      [],
      name,
    );
  }
});

test('no option has a name that the program itself, or the parser, takes', async () => {
  const taken = new Set(['help', 'version', ...GENERAL.map(({ name }) => name)]);
  for (const [words, { options }] of commands) {
    const names = options.map(({ name }) => name);
    deepEqual(
      names.filter((it) => taken.has(it) || it.startsWith('no-')),
      [],
      words,
    );
    equal(new Set(names).size, names.length, words);
  }
});

test('what is mistyped is answered with what may have been meant', async () => {
  match(await refusalOf('sesion', 'list'), /unknown command 'sesion' \(Did you mean session\?\)/);
  match(await refusalOf('session', 'kep', 'x'), /Did you mean keep\?/);
  match(await refusalOf('session', 'keep', 'x', '--queu'), /Did you mean --queue\?/);
  equal(await refusalOf('session', 'keep'), 'usage: holdfast session keep SESSION [options]');
});

test('a secret in the place of an option is not repeated', async () => {
  const refused = await runCli(['session', 'keep', 'x', '--passphrase=HUNTER2', '--json']);
  equal(refused.code, 2);
  ok(!`${refused.stdout}${refused.stderr}`.includes('HUNTER2'));
  equal(refused.result['kind'], 'usage');
});

test('a value is judged by its schema, and named as the command line names it', async () => {
  const token = ['token', 'create', 'ann'];
  const cases: readonly (readonly [readonly string[], string])[] = [
    [token, '--may is missing'],
    [[...token, '--may', 'rule'], '--may: one of look, manage'],
    [[...token, '--may', 'look', '--expires', '0'], '--expires: a number from 1 to 3650'],
    [['job', 'list', '--last', 'x'], '--last: a whole number, not a text'],
    [['backup', 'create', 'a', '--machine', 'b'], '--disk NAME=IMAGE is missing'],
    [['ssh', 'on', '--for', 'ever'], '"ever" is not a time such as 90s, 30m, 4h, 2d'],
    [
      ['backup', 'create', 'a', '--machine', 'b', '--disk', 'c=d', '--keep-daily', '7'],
      '--keep-daily goes with --queue',
    ],
  ];
  for (const [words, message] of cases) {
    const { code, stderr } = await runCli(words);
    deepEqual([code, stderr], [2, `holdfast: ${message}\n`]);
  }
});

test('general options stand anywhere, and help says what it is asked for', async () => {
  for (const words of [
    ['--store', '/s', 'session', 'keep', 'x'],
    ['session', '--store=/s', 'keep', 'x'],
    ['session', 'keep', 'x', '--store', '/s'],
  ]) {
    const asked = await read(words, NOUNS, () => {});
    deepEqual([asked?.input.text('store'), asked?.input.args], ['/s', ['x']]);
  }
  const printed: string[] = [];
  for (const words of [
    ['help', 'session', 'keep'],
    ['session', 'keep', '--help'],
  ]) {
    equal(await read(words, NOUNS, (text) => printed.push(text)), undefined);
  }
  match(printed[0]!, /^Usage: holdfast session keep SESSION \[options\]$/m);
  equal(printed[0], printed[1]);
});

test('a passphrase that comes late through a pipe is read', async () => {
  const store = join(temporaryDirectory(), 'store');
  await expectDone(runCli(['store', 'create', store]));
  const main = new URL('../../../src/cli/main.ts', import.meta.url).pathname;
  const slow = `(sleep 1; echo 'correct horse') | exec "$0" "$@"`;
  const create = ['set', 'create', 'nightly', '--encrypt', '--store', store];
  const words = ['-c', slow, process.execPath, main, ...create, '--passphrase-fd', '0'];
  const child = spawn('sh', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let told = '';
  child.stderr.on('data', (part: Buffer) => (told += part.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  deepEqual([code, told], [0, '']);
});
