import { equal, match, rejects } from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer } from 'node:http';
import { type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import { askService } from '../../src/client/service-client.ts';
import { descriptorOf, socketOption } from '../../src/sys/net/socket-options.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const OPTIONS = { secret: undefined, report() {}, signal: new AbortController().signal };
/** asm-generic/socket.h. */
const SO_KEEPALIVE = 9;
const CREATED = 'net.client.socket';

async function answering(body: string) {
  const path = join(temporaryDirectory(), 'socket');
  const server = createServer((_request, response) => void response.end(body));
  await new Promise<void>((resolve) => void server.listen(path, resolve));
  return { path, [Symbol.asyncDispose]: async () => void server.close() };
}

test('what is not the service is called that, whatever it answers', async () => {
  for (const body of ['<html>Not Found</html>', 'null', '[]', '"event"', '{"message":"no"}']) {
    await using it = await answering(`${body}\n`);
    await rejects(askService(it.path, 'service/show', {}, OPTIONS), (error: Error) => {
      match(error.message, /is not the service of Holdfast/, body);
      equal(error.name, 'SystemError');
      return true;
    });
  }
});

test('a service that went away without a word is looked for, however long its answer may take', async () => {
  let keepAlive: number | undefined;
  const seen = (message: unknown): void => {
    const { socket } = message as { readonly socket: Socket };
    socket.once(
      'connect',
      () => (keepAlive = socketOption(descriptorOf(socket)!, SO_KEEPALIVE, 4)?.[0]),
    );
  };
  const server = createServer(
    (_request, response) => void response.end('{"event":"result","result":{}}\n'),
  );
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  subscribe(CREATED, seen);
  const { port } = server.address() as { readonly port: number };
  const at = { host: '127.0.0.1', port, token: 'x', authority: undefined };
  // It speaks no TLS: until then the connection is there.
  await rejects(askService(at, 'service/show', {}, OPTIONS));
  unsubscribe(CREATED, seen);
  server.close();
  equal(keepAlive, 1);
});
