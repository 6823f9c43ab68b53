import { deepEqual, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { checkPacks } from '../../../src/store/check/check.ts';
import { takeLease } from '../../../src/catalog/leases.ts';
import { pointPath } from '../../../src/catalog/points.ts';
import { holdRoots } from '../../../src/store/directory/reader-leases.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { HOME, simulatedWorld } from '../../support/store.ts';
import { setUp, sweep, type SweptPlace } from './swept.ts';

/* Nothing of a domain is removed while not all is known that it needs, and the sweep says why. */

async function flip(files: FileSystem, path: string, at = 20): Promise<void> {
  await using file = await files.open(path, 'write');
  const byte = new Uint8Array(1);
  await file.read(byte, at);
  await file.write(
    byte.map((it) => it ^ 1),
    at,
  );
}

interface Harmed {
  readonly store: Store;
  readonly files: FileSystem;
  readonly place: SweptPlace;
  /** The pack of the nodes of the only point. */
  readonly nodes: number;
}

const HARMS: Readonly<Record<string, (it: Harmed) => Promise<string>>> = {
  async 'a recovery point that is damaged'({ store, files, place }) {
    const path = pointPath(store, { set: 'set', id: place.second.id });
    await flip(files, path, 60);
    return path;
  },
  async 'a recovery point that was removed, but not forgotten'({ store, files, place }) {
    const path = pointPath(store, { set: 'set', id: place.second.id });
    await files.unlink(path);
    return path;
  },
  async 'the directory of recovery points that is gone'({ files }) {
    await files.removeTree(`${HOME}/sets/set/points`);
    return `${HOME}/sets/set/points`;
  },
  async 'a set of which both records are damaged'({ files }) {
    await files.makeDirectory(`${HOME}/sets/other/points`);
    const path = `${HOME}/sets/other/set.json`;
    await using file = await files.create(path);
    await file.write(new Uint8Array(100), 0);
    return path;
  },
  async 'a lease that is damaged'({ store, files, place }) {
    await takeLease(store, 'one', { set: 'set', point: place.second.id, holder: 'session one' });
    await flip(files, `${HOME}/leases/one.json`);
    return `${HOME}/leases/one.json`;
  },
  async 'a pack of nodes that is damaged'({ store, files, nodes }) {
    await flip(files, store.packs.path(nodes));
    return store.packs.path(nodes);
  },
  async 'a list of references that is damaged'({ store, files, nodes }) {
    await flip(files, store.packs.references.path(nodes));
    return store.packs.path(nodes);
  },
};

for (const [what, harm] of Object.entries(HARMS)) {
  test(`nothing is removed because of ${what}`, async () => {
    const place = await setUp();
    const { files } = place.disk;
    await using store = await openStore(simulatedWorld(files, 6), HOME);
    const { pack: nodes } = place.second.disks[0]!.reference!;
    const where = await harm({ store, files, place, nodes });
    const before = await store.packs.list();
    const { removedPacks, sweptPacks, obstacles } = await sweep(files);
    deepEqual([removedPacks, sweptPacks], [0, 0]);
    ok(
      obstacles.some((it) => it.where === where),
      JSON.stringify(obstacles),
    );
    deepEqual(await store.packs.list(), before);
    deepEqual(await store.packs.swept.listDead(), []);
  });
}

test('damage that is found only under the lock of a slice stops it, too', async () => {
  const place = await setUp();
  const { files } = place.disk;
  await using store = await openStore(simulatedWorld(files, 6), HOME);
  await takeLease(store, 'one', { set: 'set', point: place.second.id, holder: 'session one' });
  const { removedPacks, sweptPacks, obstacles } = await sweep(files, {
    onProgress(phase) {
      if (phase === 'plan') place.disk.damage(`${HOME}/leases/one.json`, (bytes) => bytes.fill(7));
    },
  });
  deepEqual([removedPacks, sweptPacks], [0, 0]);
  match(obstacles.map(({ where }) => where).join(), /leases\/one\.json/);
});

test('a check beside a sweep reports nothing that the sweep removes in the meantime', async () => {
  for (let at = 1; at <= 6; at++) {
    const place = await setUp();
    const { files } = place.disk;
    await using store = await openStore(simulatedWorld(files, 6), HOME);
    const { packs } = store;
    const problems: string[] = [];
    let isSwept = false;
    // The check has its list of packs and, of this one, its frames, when the sweep comes.
    const read: typeof packs.read = async (into, pack, offset) => {
      if (!isSwept && pack === at) {
        isSwept = true;
        ok((await sweep(files)).removedPacks > 0);
      }
      return await packs.read(into, pack, offset);
    };
    await checkPacks(
      { ...packs, read },
      {
        ...{ readData: true, keysOf: () => place.set.keys, signal: undefined },
        onProgress() {},
        onProblem: ({ where, what }) => void problems.push(`${where}: ${what}`),
      },
    );
    ok(isSwept, `pack ${at}`);
    deepEqual(problems, []);
    deepEqual(await packs.wanted.list(), []);
  }
});

test('what a reader holds of a forgotten point stays until it lets go', async () => {
  const place = await setUp();
  const { files } = place.disk;
  await using store = await openStore(simulatedWorld(files, 6), HOME);
  const domain = Buffer.from(place.set.record.domain).toString('hex');
  const roots = place.first.disks.flatMap(({ reference }) =>
    reference ? [{ domain, place: reference, where: 'mount' }] : [],
  );
  {
    await using _held = await holdRoots(store, roots, 'mount');
    const { removedPacks, sweptPacks, obstacles } = await sweep(files);
    deepEqual([removedPacks, sweptPacks, obstacles], [0, 0, []]);
  }
  const { removedPacks } = await sweep(files);
  ok(removedPacks > 0);
});
