import { equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
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

test('words that nobody can read end no command', async () => {
  equal(into('/dev/full', ['frob'], 'stderr').status, 2, 'the exit code still says what was wrong');
});
