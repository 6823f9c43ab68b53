import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
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
  await until('its socket', () => existsSync(socket) || server.exitCode !== null);
  return {
    socket,
    uri: `nbd+unix:///?socket=${socket}`,
    async [Symbol.asyncDispose]() {
      server.kill();
      await exited;
    },
  };
}
