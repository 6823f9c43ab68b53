import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { noSecrets } from '../../../src/engine/base/engine.ts';
import { type FilesTools, openVolumes } from '../../../src/engine/files/files-work.ts';
import type { FilesOperationName, RequestOf } from '../../../src/operations/operations.ts';
import { GranularError } from '../../../src/file-restore/base/file-restore-error.ts';

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

function service() {
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
        roots: new Map(['vda1', 'vda2', 'vda3'].map((it) => [it, `/at/${id}/${it}`])),
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
  const files = openVolumes(async () => ({ store: '/s', restores: '/r' }), tools);
  const ask = <N extends FilesOperationName>(name: N, request: RequestOf<N>) =>
    files.handlers[name](request, {
      ...{ given: undefined, who: undefined, secrets: noSecrets, report() {} },
      signal: new AbortController().signal,
    });
  const open = () => ask('files/open', { what: 'p', disk: undefined, isolated: false });
  const browse = (id: string, path: string, first: number, volume = 'vda1') =>
    ask('files/browse', { id, volume, path, first, count: 2 });
  const openAll = async (count: number): Promise<void> => {
    const opening = Array.from({ length: count }, open);
    await settled();
    for (const { resolve } of gates) resolve();
    await Promise.all(opening);
  };
  return { files, gates, lists, ask, open, openAll, browse };
}

/** Until all that can go on has gone on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('sixteen have volumes open, those that are being opened among them', async () => {
  const { files, gates, ask, open } = service();
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

test('who turns the pages of a directory has one listing of it, also while others turn theirs', async () => {
  const { files, lists, openAll, browse } = service();
  await openAll(2);
  const places = [
    ['r0', '/x', 'vda1'],
    ['r0', '/y', 'vda1'],
    ['r0', '/x', 'vda2'],
    ['r1', '/x', 'vda1'],
  ] as const;
  const paged: string[][] = places.map(() => []);
  for (const first of [0, 2]) {
    for (const [at, [id, path, volume]] of places.entries()) {
      const asked = browse(id, path, first, volume);
      await settled();
      lists[at]!.gate.resolve();
      const { total, entries } = await asked;
      equal(total, 3);
      paged[at]!.push(...entries.map((it) => it.path));
    }
  }
  for (const names of paged) deepEqual(names, ['a', 'b', 'c']);
  deepEqual(
    lists.map(({ path }) => path),
    ['/at/r0/vda1/x', '/at/r0/vda1/y', '/at/r0/vda2/x', '/at/r1/vda1/x'],
    'each was listed once',
  );
  // Who begins at the beginning sees what is there now.
  const again = browse('r0', '/x', 0);
  await settled();
  equal(lists.length, 5);
  lists[4]!.gate.resolve();
  await again;
  await rejects(browse('r9', '/x', 2), { code: 'NOT_FOUND' });
  await files[Symbol.asyncDispose]();
  await rejects(browse('r0', '/x', 2), { code: 'NOT_FOUND' });
});

test('a volume that hangs holds up only what is to be listed of it', async () => {
  const { files, lists, openAll, browse } = service();
  await openAll(2);
  const known = browse('r0', '/known', 0);
  await settled();
  lists[0]!.gate.resolve();
  await known;
  const hanging = browse('r0', '/hangs', 0);
  const behind = browse('r0', '/x', 0);
  await settled();
  equal(lists.length, 2, 'one of a volume at a time');
  equal((await browse('r0', '/known', 2)).entries.length, 1, 'what is known of it is told');
  const others = [browse('r0', '/x', 0, 'vda2'), browse('r1', '/x', 0)];
  await settled();
  for (const { gate } of lists.slice(2)) gate.resolve();
  for (const { total } of await Promise.all(others)) equal(total, 3);
  lists[1]!.gate.reject(new GranularError('UNREADABLE', 'find hangs'));
  await rejects(hanging, { code: 'UNREADABLE' });
  await settled();
  lists[4]!.gate.resolve();
  equal((await behind).total, 3);
  await files[Symbol.asyncDispose]();
});

test('four directories are listed at a time', async () => {
  const { files, lists, openAll, browse } = service();
  await openAll(2);
  const asked = ['r0', 'r1'].flatMap((id) =>
    ['vda1', 'vda2', 'vda3'].map((volume) => browse(id, '/x', 0, volume)),
  );
  await settled();
  equal(lists.length, 4);
  lists[1]!.gate.reject(new GranularError('UNREADABLE', 'damaged'));
  await rejects(asked[1]!, { code: 'UNREADABLE' });
  await settled();
  equal(lists.length, 5, 'what has failed has left its place');
  for (const at of [0, 2, 3, 4, 5]) {
    lists[at]!.gate.resolve();
    await asked[at];
    await settled();
  }
  equal(lists.length, 6);
  await files[Symbol.asyncDispose]();
});
