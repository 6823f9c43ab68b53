import { deepEqual, throws } from 'node:assert/strict';
import { array, assert, property, string } from 'fast-check';
import { test } from 'tap';
import { UsageError } from '../../src/cli/command.ts';
import { commandWords } from '../../src/cli/command-words.ts';
import { admitted } from '../../src/cli/login-session.ts';

const isUsage = (error: unknown): boolean => error instanceof UsageError;

test('words are taken apart as a shell would, and nothing is expanded', async () => {
  const lines: [string, string[]][] = [
    ['', []],
    ['  \t ', []],
    ['holdfast session list', ['holdfast', 'session', 'list']],
    [" a 'b c'  d ", ['a', 'b c', 'd']],
    [`a"b 'c"'d e'\\ f`, [`ab 'cd e f`]],
    ["--name '*.docx' *.docx ~ #x {a,b}", ['--name', '*.docx', '*.docx', '~', '#x', '{a,b}']],
    [`'' "" "\\"\\\\\\n"`, ['', '', '"\\\\n']],
    [`'$(id); rm -rf /'`, ['$(id); rm -rf /']],
  ];
  for (const [line, words] of lines) deepEqual(commandWords(line), words, line);
});

test('what only a shell could do is refused, not misunderstood', async () => {
  for (const line of [
    ...['a; id', 'a && id', 'a | id', 'a > /etc/x', 'a < x', '$(id)', '`id`', '$HOME', 'a\nid'],
    ...["it's", '"a', 'a\\', 'a\u0000b', 'a\u001b[2J', 'x'.repeat(70_000)],
  ]) {
    throws(() => commandWords(line), isUsage, line.slice(0, 20));
  }
});

test('any words can be said, and come back as they were', async () => {
  const quoted = (word: string): string => `'${word.replaceAll("'", `'"'"'`)}'`;
  assert(
    property(array(string()), (words) => {
      deepEqual(commandWords(words.map(quoted).join(' ')), words);
    }),
  );
  assert(
    property(string(), (line) => {
      try {
        commandWords(line);
      } catch (error) {
        if (!isUsage(error)) throw error;
      }
    }),
  );
});

test('commands and options that are for the box itself do not come in over the network', async () => {
  for (const line of [
    'mount /mnt',
    'files open vm@latest --volume-key-file /x',
    'files list vm@latest vda',
    'store cat session x',
    'backup list --store /tmp/x',
    'backup list --store=/tmp/x',
    'session list --json --socket /tmp/x',
    'set create x --passphrase-fd=3',
    'recover vm@latest --boot',
    'store create /tmp/x',
    'store create --json /tmp/x',
    'store create -- /tmp/x',
  ]) {
    throws(() => admitted(line.split(' ')), isUsage, line);
  }
  for (const line of [
    'session list --json',
    'store check',
    'store create --json',
    'backup show -- --store',
  ]) {
    deepEqual(admitted(line.split(' ')), line.split(' '));
  }
});
