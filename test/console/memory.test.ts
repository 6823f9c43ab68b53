import { ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'tap';
import type { ResultOf } from '../../src/operations/operations.ts';
import { FACTS, pointAt } from '../support/console.ts';
import { without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { openScreen } from '../support/tmux.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const RESIDENT_MAX = 100 * 2 ** 20;
const TOTAL = 100_000;

function residentOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]);
}

function pageOf({ first, count }: { first: number; count: number }): ResultOf<'backup/page'> {
  const length = Math.max(0, Math.min(count, TOTAL - first));
  const points = Array.from({ length }, (_, at) => pointAt(first + at));
  return { points, damaged: [], total: TOTAL, first };
}

function answerTo(url: string | undefined, body: string): object {
  if (url === '/v1/service/show') return { event: 'result', result: FACTS };
  if (url === '/v1/backup/page') {
    const asked = JSON.parse(body) as { first: number; count: number };
    return { event: 'result', result: pageOf(asked) };
  }
  return { event: 'error', kind: 'failed', message: 'not here' };
}

/** A service with very many recovery points, and nothing else that it knows. */
async function manyPoints(socket: string): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      if (request.url === '/v1/service/follow') response.flushHeaders();
      else response.end(`${JSON.stringify(answerTo(request.url, body))}\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const skip = without('tmux');
test('the first start, and hard scrolling through 100,000 recovery points, stay small', {
  skip,
}, async () => {
  const directory = temporaryDirectory();
  const socket = join(directory, 'service.sock');
  await using _service = await manyPoints(socket);
  const command = [process.execPath, MAIN, 'console', '--socket', socket];
  // Nothing is compiled yet.
  const fresh = ['env', `NODE_COMPILE_CACHE=${join(directory, 'compiled')}`, ...command];
  using screen = openScreen(fresh, { directory, term: 'xterm-256color' });
  await screen.shows(/The service runs/);
  const sizes = [residentOf(screen.pid)];
  screen.keys('2');
  await screen.shows(/ 1 of 100000/);
  for (let n = 0; n < 60; n++) screen.keys(...Array.from({ length: 50 }, () => 'NPage'));
  await screen.shows(/ 51001 of 100000.*web51000 /s);
  sizes.push(residentOf(screen.pid));
  for (let n = 0; n < 40; n++) screen.keys(...Array.from({ length: 50 }, () => 'Down'));
  await screen.shows(/ 53001 of 100000.*web53000 /s);
  sizes.push(residentOf(screen.pid));
  ok(
    sizes.every((size) => size < RESIDENT_MAX),
    `${sizes.join(', ')} bytes are resident`,
  );
});
