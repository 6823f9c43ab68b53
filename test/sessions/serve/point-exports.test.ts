import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import type { NfsAccess } from '../../../src/servers/nfs/exports/access.ts';
import type { NfsTarget } from '../../../src/servers/nfs/server.ts';
import { pointExports } from '../../../src/sessions/serve/point-exports.ts';
import { openBlockReader } from '../../../src/store/read/block-reader.ts';
import type { FileTree } from '../../../src/vfs/file-tree.ts';
import { LOCAL } from '../../support/nfs-server.ts';
import { noise } from '../../support/random.ts';
import { newStore, simulatedWorld, storePoint } from '../../support/store.ts';

/** What is exported, and who may see it. */
function target() {
  const shown = new Map<string, { tree: FileTree; access: readonly NfsAccess[] }>();
  const events: string[] = [];
  return {
    shown,
    events,
    target: {
      export(name: string, tree: FileTree, { access }: { access: readonly NfsAccess[] }) {
        shown.set(name, { tree, access });
        return {
          async [Symbol.asyncDispose]() {
            events.push(`end of ${name}`);
            shown.delete(name);
          },
        };
      },
      forget: (name: string) => void events.push(`forget ${name}`),
    } as unknown as NfsTarget,
  };
}

test('a set is shown once to all sessions, read-only, and is gone with the last of them', async () => {
  const world = simulatedWorld();
  const { store, set } = await newStore(world);
  const point = await storePoint(store, set, noise(8192, 1));
  let readers = 0;
  const borrow = async () => {
    const reader = openBlockReader(store, {});
    readers++;
    return {
      reader,
      async [Symbol.asyncDispose]() {
        readers--;
        await reader[Symbol.asyncDispose]();
      },
    };
  };
  const { target: nfs, shown, events } = target();
  const points = pointExports(store, nfs, borrow);
  const rules = ['10.0.0.1', '10.0.0.2'].map((squash) => ({ ...LOCAL, readOnly: false, squash }));
  const [one, two] = await Promise.all(
    rules.map((rule) => points.show(set, rule as unknown as NfsAccess)),
  );
  const name = `points/${set.name}`;
  deepEqual([...shown.keys()], [name]);
  equal(readers, 1);
  const { tree, access } = shown.get(name)!;
  deepEqual(
    access.map(({ readOnly, squash }) => [readOnly, squash]),
    [
      [true, '10.0.0.1'],
      [true, '10.0.0.2'],
    ],
  );
  const machine = tree.lookup(tree.root, 'vm')!;
  deepEqual(
    [...tree.list(machine, 0)].map(({ name: it }) => it).filter((it) => it !== 'latest'),
    [point.id],
  );
  await one![Symbol.asyncDispose]();
  await one![Symbol.asyncDispose]();
  equal(shown.has(name), true);
  deepEqual(
    access.map(({ squash }) => squash),
    ['10.0.0.2'],
  );
  await two![Symbol.asyncDispose]();
  deepEqual([shown.size, readers], [0, 0]);
  deepEqual(events, [`end of ${name}`, `forget ${name}`]);
});
