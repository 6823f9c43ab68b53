import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { type FilesTools, openFilesDesk } from '../../src/control/files-work.ts';
import type { FilesOperationName, FilesRequestOf } from '../../src/protocol/files-operations.ts';
import { GranularError } from '../../src/granular/granular-error.ts';

// Real volumes are opened in test/interop/files-service.test.ts: here nothing is mounted.

const entry = (path: string) =>
  ({
    path,
    kind: 'file',
    size: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    modified: 0,
    target: undefined,
  }) as const;

function desk() {
  const gates: PromiseWithResolvers<void>[] = [];
  const lists: { readonly path: string; readonly gate: PromiseWithResolvers<void> }[] = [];
  let ids = 0;
  const tools: FilesTools = {
    async open() {
      const gate = Promise.withResolvers<void>();
      gates.push(gate);
      await gate.promise;
      const id = `r${ids++}`;
      return {
        opened: { id, point: 'p', at: '/at', disks: [], volumes: [] },
        roots: new Map([['vda1', `/at/${id}`]]),
        ended: new Promise(() => {}),
        async [Symbol.asyncDispose]() {},
      };
    },
    async list(root, path) {
      const gate = Promise.withResolvers<void>();
      lists.push({ path: `${root}${path}`, gate });
      await gate.promise;
      return { entries: ['a', 'b', 'c'].map(entry), refused: null };
    },
  };
  const files = openFilesDesk(async () => ({ store: '/s', restores: '/r' }), tools);
  const ask = <N extends FilesOperationName>(name: N, request: FilesRequestOf<N>) =>
    files.work(name, request, {
      ...{ given: undefined, who: undefined, report() {}, signal: new AbortController().signal },
    });
  const open = () => ask('files/open', { what: 'p', disk: undefined, isolated: false });
  const browse = (id: string, path: string, first: number) =>
    ask('files/browse', { id, volume: 'vda1', path, first, count: 2 });
  return { files, gates, lists, ask, open, browse };
}

/** Until all that can go on has gone on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('sixteen have volumes open, those that are being opened among them', async () => {
  const { files, gates, ask, open } = desk();
  const opening = Array.from({ length: 16 }, open);
  await rejects(open(), (error: Error) => {
    match(error.message, /volumes of 16 are open, or being opened: close some/);
    return error instanceof GranularError;
  });
  await settled();
  equal(gates.length, 16, 'nothing was begun for the one too many');
  gates[0]!.reject(new GranularError('NOT_FOUND', 'no such point'));
  await rejects(opening[0]!, { code: 'NOT_FOUND' });
  // What has failed has left its place.
  opening.push(open());
  await settled();
  for (const { resolve } of gates) resolve();
  await Promise.all(opening.slice(1));
  equal(files.openCount, 16);
  await rejects(open(), { code: 'FAILED' });
  await ask('files/close', { id: 'r3' });
  const last = open();
  await settled();
  gates.at(-1)!.resolve();
  equal((await last).id, 'r16');
  await files[Symbol.asyncDispose]();
  equal(files.openCount, 0);
});

test('one directory is listed at a time, and its next page is not listed again', async () => {
  const { files, gates, lists, open, browse } = desk();
  const opening = [open(), open()];
  await settled();
  for (const { resolve } of gates) resolve();
  await Promise.all(opening);
  const asked = [browse('r0', '/x', 0), browse('r1', '/x', 0), browse('r1', '/y', 0)];
  const begun: string[] = [];
  for (let n = 0; n < 3; n++) {
    await settled();
    equal(lists.length, n + 1, 'the others wait');
    begun.push(lists[n]!.path);
    lists[n]!.gate.resolve();
    await asked[n];
  }
  deepEqual(begun, ['/at/r0/x', '/at/r1/x', '/at/r1/y']);
  const page = await browse('r1', '/y', 2);
  deepEqual([page.total, page.entries.map(({ path }) => path)], [3, ['c']]);
  equal(lists.length, 3);
  // Another one has taken its place meanwhile.
  const again = browse('r0', '/x', 2);
  await settled();
  lists[3]!.gate.resolve();
  equal((await again).entries.length, 1);
  await rejects(browse('r9', '/x', 0), { code: 'NOT_FOUND' });
  await files[Symbol.asyncDispose]();
});
