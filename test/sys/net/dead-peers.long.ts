import { ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'tap';
import { type ByteStream, listen } from '../../../src/sys/net/network.ts';
import { program, without } from '../../support/programs.ts';

const skip = process.getuid!() !== 0 ? 'needs root' : without('ip');
const SPACE = `holdfast-${process.pid}`;
const LINK = `hf${process.pid}`.slice(0, 13);
const [HERE, THERE] = ['203.0.113.1', '203.0.113.2'];
const LIMIT_MS = 150_000;

test('a host that is cut off loses its connections within two minutes, whether something is on its way or not', {
  skip,
  timeout: 200_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  await program('ip', 'netns', 'add', SPACE);
  stack.defer(() => void program('ip', 'netns', 'del', SPACE));
  await program(
    'ip',
    ...`link add ${LINK}a type veth peer name ${LINK}b netns ${SPACE}`.split(' '),
  );
  await program('ip', 'address', 'add', `${HERE}/30`, 'dev', `${LINK}a`);
  await program('ip', 'link', 'set', `${LINK}a`, 'up');
  const inside = ['netns', 'exec', SPACE, 'ip'];
  await program('ip', ...inside, 'address', 'add', `${THERE}/30`, 'dev', `${LINK}b`);
  await program('ip', ...inside, 'link', 'set', `${LINK}b`, 'up');

  const streams: ByteStream[] = [];
  const both = Promise.withResolvers<void>();
  const closed: Promise<number>[] = [];
  const listener = stack.use(
    await listen({ kind: 'tcp', host: HERE, port: 0 }, (stream) => {
      closed.push(
        new Promise((resolve) => {
          stream.onClose = () => resolve(performance.now());
        }),
      );
      stream.start();
      if (streams.push(stream) === 2) both.resolve();
    }),
  );
  const script = `for (let n = 0; n < 2; n++) require('net').connect(${listener.port}, '${HERE}')`;
  const client = spawn('ip', ['netns', 'exec', SPACE, process.execPath, '-e', script]);
  stack.defer(() => void client.kill('SIGKILL'));
  await both.promise;
  await program('ip', ...inside, 'link', 'set', `${LINK}b`, 'down');
  const began = performance.now();
  streams[1]!.write(new Uint8Array(4096));
  const late = new Promise<number>((resolve) => setTimeout(resolve, LIMIT_MS, Infinity).unref());
  const [silent, asked] = await Promise.all(closed.map((it) => Promise.race([it, late])));
  ok(silent! - began < LIMIT_MS, `silent: ${Math.round(silent! - began)} ms`);
  ok(asked! - began < LIMIT_MS, `with something on its way: ${Math.round(asked! - began)} ms`);
});
