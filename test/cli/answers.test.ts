import { equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { rememberApart } from '../support/box-state.ts';
import { program } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

rememberApart();

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const root = temporaryDirectory();

/** Runs a command whose standard output, or standard error, is a file. */
function into(file: string, args: readonly string[], which: 'stdout' | 'stderr' = 'stdout') {
  const fd = openSync(file, 'a');
  const stdio: ('ignore' | 'pipe' | number)[] =
    which === 'stdout' ? ['ignore', fd, 'pipe'] : ['ignore', 'pipe', fd];
  const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], { stdio });
  closeSync(fd);
  return { status, stderr: stderr === null ? '' : stderr.toString('utf8') };
}

// U11
test('an answer that cannot be written is a failure with an exit code', async () => {
  const store = join(root, 'store');
  equal(into(join(root, 'out'), ['store', 'create', '--store', store]).status, 0);
  const lists = [['set', 'list', '--store', store], ['man'], ['--help'], ['set', 'list', '--help']];
  for (const words of lists) {
    for (const more of words.includes('--help') ? [[]] : [[], ['--json']]) {
      const { status, stderr } = into('/dev/full', [...words, ...more]);
      equal(status, 7, [...words, ...more].join(' '));
      match(stderr, /standard output/);
    }
  }
});

test('what a message repeats reaches no terminal as it is', async () => {
  const store = join(root, 'no\u001b]0;title\u0007store');
  const { status, stderr } = into(join(root, 'out'), ['set', 'list', '--store', store]);
  equal(status, 5);
  match(stderr, /no\?\]0;title\?store/);
});

test('a disk that takes only a part of an answer is full', async ({ teardown }) => {
  const full = join(root, 'small');
  mkdirSync(full);
  await program('mount', '-t', 'tmpfs', '-o', 'size=8k', 'none', full);
  teardown(() => program('umount', full));
  const file = join(full, 'man');
  const { status } = into(file, ['man', '--json']);
  equal(readFileSync(file).length, 8192, 'a part of it is there');
  equal(status, 7);
});

test('output that cannot be read ends no command', async () => {
  equal(into('/dev/full', ['frob'], 'stderr').status, 2, 'the exit code still says what was wrong');
});

test('words that make no sense, a host that is away and a missing set have their own exit codes', async () => {
  const store = join(root, 'coded');
  const coded = (...words: string[]) => {
    const args = [MAIN, ...words, '--store', store];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return [status, stderr.trim()];
  };
  equal(coded('store', 'create')[0], 0);
  equal(coded('set', 'create', 'plain')[0], 0);
  const image = join(root, 'image');
  writeFileSync(image, new Uint8Array(4096));
  const backup = ['backup', 'create', 'plain', '--machine', 'vm', '--disk'];
  equal(coded(...backup, `vda=${image}`)[0], 0);
  for (const words of [
    ['--nbd', '10.0.0.1'],
    ['--nfs', '--allow', '10.0.0.0/33'],
    ['--nbd', 'tcp:192.0.2.99:1'],
  ]) {
    equal(coded('recover', 'vm@latest', ...words)[0], 2, words.join(' '));
  }
  const [asked, missing] = coded('set', 'create', 'sealed', '--encrypt');
  equal(asked, 2);
  match(
    String(missing),
    /the new passphrase, or password, is missing: there is no terminal to ask for it/,
  );
  const [away, why] = coded(...backup, 'vda=nbd://127.0.0.1:1/x');
  equal(away, 9);
  match(String(why), /no program listens there \(ECONNREFUSED\)$/);
  for (const words of [
    ['list', 'nosuch'],
    ['retain', 'nosuch', '--keep-last', '1'],
  ]) {
    const [code, said] = coded('backup', ...words);
    equal(code, 5);
    match(String(said), /there is no backup set "nosuch" in .*: it has plain$/);
  }
});
