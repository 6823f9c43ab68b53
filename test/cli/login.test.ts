import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSilent } from 'node:net';
import { join } from 'node:path';
import { array, assert, property, string } from 'fast-check';
import { test } from 'tap';
import { commandWords } from '../../src/cli/split-words.ts';
import { admitted, lockedBy } from '../../src/cli/login-session.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { UsageError } from '../../src/cli/base/command-errors.ts';

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

const directory = temporaryDirectory();

/** What a login says about the lockdown, given the service's answer; undefined: a shell may open. */
async function lockedWhile(name: string, answer: RequestListener): Promise<string | undefined> {
  const server = createServer(answer).listen(join(directory, name));
  await once(server, 'listening');
  try {
    return await lockedBy(join(directory, name), AbortSignal.timeout(60_000));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const says =
  (line: object): RequestListener =>
  (_request, response) =>
    void response.end(`${JSON.stringify(line)}\n`);

test('a shell opens when the service says that no lockdown is on, or when no service listens', async () => {
  const since = '2026-11-21T18:00:00.000Z';
  const shown = (lockdown: string | null) => says({ event: 'result', result: { lockdown } });
  equal(await lockedWhile('off', shown(null)), undefined);
  match((await lockedWhile('on', shown(since)))!, /^the lockdown is on$/);
  const gone = join(directory, 'gone');
  equal(await lockedBy(gone, AbortSignal.timeout(60_000)), undefined);
  // What a service that was killed leaves behind.
  const killed = createSilent().listen(join(directory, 'killed'));
  await once(killed, 'listening');
  renameSync(join(directory, 'killed'), gone);
  killed.close();
  await once(killed, 'close');
  equal(await lockedBy(gone, AbortSignal.timeout(60_000)), undefined);
});

test('making the service fail, hang up or hang gives no shell', async () => {
  const unknown = /^the service does not say whether a lockdown is on/;
  const error = { event: 'error', kind: 'failed', message: 'too much is under way' };
  match((await lockedWhile('fails', says(error)))!, unknown);
  match((await lockedWhile('hangs-up', ({ socket }) => void socket.destroy()))!, unknown);
  const silent = createSilent().listen(join(directory, 'silent'));
  const connected = once(silent, 'connection');
  const limit = new AbortController();
  const asked = lockedBy(join(directory, 'silent'), limit.signal);
  const [socket] = (await connected) as [{ destroy(): void }];
  limit.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
  match((await asked)!, unknown);
  socket.destroy();
  silent.close();
});
