import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { expectDone, holdfastIn } from '../../support/cli.ts';
import { without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { openScreen } from '../../support/tmux.ts';
import { until } from '../../support/until.ts';

const MAIN = new URL('../../../src/cli/main.ts', import.meta.url).pathname;
const SECRETS = new URL('../../../src/cli/base/secrets.ts', import.meta.url).href;
const root = temporaryDirectory();
/** Each has a tmux of its own: the one before may not have ended yet. */
const terminal = () => ({ directory: temporaryDirectory(), term: 'screen' });
const { holdfast, store } = await holdfastIn(root);

test('a passphrase from a pipe is there for every set', async () => {
  await expectDone(holdfast('set', 'create', 'weekly', '--encrypt'));
  const words = [MAIN, 'store', 'check', '--store', store, '--passphrase-fd', '0', '--json'];
  const checked = spawnSync(process.execPath, words, {
    input: 'correct horse\n',
    encoding: 'utf8',
  });
  equal(checked.status, 0, checked.stderr);
  match(checked.stdout, /"locked":\[\]/);
});

test('a passphrase is typed twice, and not shown', { skip: without('tmux') }, async () => {
  const create = [process.execPath, MAIN, 'set', 'create', 'typed', '--encrypt', '--store', store];
  using screen = openScreen(create, terminal());
  await screen.shows(/New passphrase/);
  screen.keys('correct horx', 'BSpace', 'se', 'Enter');
  await screen.shows(/Once more/);
  screen.keys('correct horse', 'Enter');
  equal(await screen.ended(), 0);
  doesNotMatch(screen.text(), /horse/);
  const { result } = await expectDone(holdfast('store', 'check'));
  deepEqual(result['locked'], [], 'what was typed is what is in the file');
});

test('Ctrl-C at a prompt interrupts, also where an empty answer means something', {
  skip: without('tmux'),
}, async () => {
  const create = [process.execPath, MAIN, 'set', 'create', 'x', '--encrypt', '--store', store];
  {
    using screen = openScreen(create, terminal());
    await screen.shows(/New passphrase/);
    screen.keys('C-c');
    equal(await screen.ended(), 130);
  }
  const { result } = await expectDone(holdfast('set', 'list'));
  deepEqual(
    (result['sets'] as { set: string }[]).map(({ set }) => set),
    ['nightly', 'typed', 'weekly'],
  );
  const ask = `import('${SECRETS}')
    .then(({ findVolumeKey }) => findVolumeKey('vda2', undefined))
    .then(() => console.log('left locked'), ({ name }) => console.log(name))`;
  for (const [key, what] of [
    ['Enter', /left locked/],
    ['C-c', /Interrupted/],
  ] as const) {
    using screen = openScreen([process.execPath, '-e', ask], terminal());
    await screen.shows(/Key of volume vda2/);
    screen.keys(key);
    await screen.shows(what);
  }
});

/** What became of a prompt, as the process that asked writes it to `file`. */
const asking = (name: string, file: string): string[] => [
  process.execPath,
  '-e',
  `process.on('SIGHUP', () => {});
  const say = (text) => require('fs').writeFileSync(${JSON.stringify(file)}, text);
  import('${SECRETS}')
    .then(({ findVolumeKey }) => findVolumeKey(${JSON.stringify(name)}, undefined))
    .then((key) => say(Buffer.from(key).toString('hex')), ({ name }) => say(name));`,
];

async function written(file: string): Promise<string> {
  await until(file, () => existsSync(file) && readFileSync(file).length > 0);
  return readFileSync(file, 'utf8');
}

test('a prompt commands no terminal, and erases characters, not bytes', {
  skip: without('tmux'),
}, async () => {
  const file = join(root, 'key');
  using screen = openScreen(asking('vd\u001b[2J\u009b31mx', file), terminal());
  await screen.shows(/Key of volume vd\?\[2J\?31mx/);
  screen.keys('a\u00fc\u20ac', 'BSpace', 'BSpace', 'b', 'Enter');
  equal(await written(file), '6162');
});

test('a passphrase that was typed in part when the line was hung up is none', {
  skip: without('tmux'),
}, async () => {
  const file = join(root, 'hung-up');
  {
    using screen = openScreen(asking('vda2', file), terminal());
    await screen.shows(/Key of volume/);
    screen.keys('correct ho');
    await sleep(300);
  }
  equal(await written(file), 'Interrupted');
});
