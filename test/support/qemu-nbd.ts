import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { temporaryDirectory } from './temporary.ts';
import { until } from './until.ts';

export interface QemuNbd extends AsyncDisposable {
  readonly socket: string;
  readonly uri: string;
}

const root = temporaryDirectory();
let count = 0;

/** QEMU's own server, with these words, on a unix socket; it serves any number of clients. */
export async function qemuNbd(...words: readonly string[]): Promise<QemuNbd> {
  const socket = join(root, `${count++}.sock`);
  const server = spawn('qemu-nbd', ['-t', '-e', '8', '-k', socket, ...words], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  await until('a server at its socket', async () => server.exitCode !== null || isServed(socket));
  return {
    socket,
    uri: `nbd+unix:///?socket=${socket}`,
    async [Symbol.asyncDispose]() {
      // It has nothing to put away, and misses a SIGTERM that comes before its loop runs.
      server.kill('SIGKILL');
      await exited;
    },
  };
}

function isServed(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}
