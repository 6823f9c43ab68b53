import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { type ByteStream, clearSockets, connect, listen } from '../../../src/sys/net/network.ts';
import { program, without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

test('a path that can be no socket is refused with an error of the world', async () => {
  const directory = temporaryDirectory();
  const file = join(directory, 'file');
  writeFileSync(file, '');
  mkdirSync(join(directory, 'directory'));
  for (const [path, code] of [
    [`${directory}/a\0`, 'IO'],
    [file, 'EXISTS'],
    [join(directory, 'directory'), 'EXISTS'],
    [join(directory, 'nowhere', 'socket'), 'DENIED'],
    [join(directory, 'x'.repeat(200)), 'IO'],
  ] as const) {
    await rejects(
      listen({ kind: 'unix', path }, () => {}),
      { name: 'SystemError', code },
      path,
    );
  }
});

test('sockets of ours at which no process listens are removed, and nothing else', async () => {
  const directory = temporaryDirectory();
  const path = (name: string): string => join(directory, name);
  await using _live = await listen({ kind: 'unix', path: path('live.sock') }, () => {});
  {
    // A socket that goes with its listener is moved away in time.
    await using _dead = await listen({ kind: 'unix', path: path('it') }, () => {});
    renameSync(path('it'), path('dead.sock'));
    await using _other = await listen({ kind: 'unix', path: path('it') }, () => {});
    renameSync(path('it'), path('dead.other'));
  }
  writeFileSync(path('file.sock'), '');
  symlinkSync('dead.other', path('link.sock'));
  mkdirSync(path('directory.sock'));
  const removed = await clearSockets(directory, (name) => name.endsWith('.sock'));
  deepEqual(removed, [path('dead.sock')]);
  const left = ['dead.other', 'directory.sock', 'file.sock', 'link.sock', 'live.sock'];
  deepEqual(readdirSync(directory).sort(), left);
});

test('a peer that went away without a word is asked whether it is there, and soon', {
  skip: without('ss'),
}, async () => {
  const arrived = Promise.withResolvers<ByteStream>();
  await using listener = await listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, arrived.resolve);
  const client = await connect({ kind: 'tcp', host: '127.0.0.1', port: listener.port! });
  const stream = await arrived.promise;
  stream.start();
  const timers = await program('ss', '-tnoH', `sport = :${listener.port}`);
  const [, seconds] = /timer:\(keepalive,(\d+)sec,0\)/.exec(timers) ?? [];
  ok(seconds !== undefined && Number(seconds) <= 20, timers);
  client.destroy();
  stream.destroy();
});

test('a limit of silence holds from then on also where data is received into one memory', async () => {
  const path = join(temporaryDirectory(), 'socket');
  const accepted: ByteStream[] = [];
  await using _listener = await listen({ kind: 'unix', path }, (stream) => accepted.push(stream));
  const stream = await connect({ kind: 'unix', path });
  const closed = new Promise<Error | undefined>((resolve) => (stream.onClose = resolve));
  stream.limitSilence(50);
  stream.start();
  stream.receiveInto(new Uint8Array(64));
  equal(String(await closed), 'SystemError: nothing was heard for 1 s');
  for (const it of accepted) it.destroy();
});
