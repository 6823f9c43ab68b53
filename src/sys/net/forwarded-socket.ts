import { chmodSync, mkdirSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path/posix';
import { systemError } from '../base/system-error.ts';
import { joinSockets } from '../sandbox/joined-sockets.ts';

/* Ports as files: a sandbox without a network reaches what it is given, and nothing else. */

/** As many as a script can want at once. */
const CONNECTIONS_MAX = 256;
const ENTER = 0o755;
const CONNECT = 0o666;

/**
 * Makes `directory` with a Unix socket for each name, which leads to a port of the loopback. A process that reaches the
 * directory may connect: its parent says who that is. Disposing ends the connections.
 */
export async function forwardSockets(
  directory: string,
  ports: ReadonlyMap<string, number>,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  try {
    mkdirSync(directory);
    for (const [name, port] of ports) stack.use(await forwardSocket(join(directory, name), port));
    // The umask of this process may say otherwise.
    chmodSync(directory, ENTER);
  } catch (cause) {
    throw systemError(cause, `make sockets in ${directory}`);
  }
  const owned = stack.move();
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function forwardSocket(path: string, port: number): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const to = createConnection({ host: '127.0.0.1', port, allowHalfOpen: true });
    for (const socket of [client, to]) {
      open.add(socket);
      socket.once('close', () => open.delete(socket));
    }
    joinSockets(client, to);
  });
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  // A connection that cannot be accepted must not end the others.
  server.on('error', () => {});
  chmodSync(path, CONNECT);
  return {
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
