import { deepEqual, ok } from 'node:assert/strict';
import { join } from 'node:path/posix';
import { test } from 'tap';
import { openEngine } from '../../../src/engine/base/engine.ts';
import { checkStore } from '../../../src/engine/points/stores.ts';
import { writeLastPack } from '../../../src/store/packs/last-pack.ts';
import { missingPackProblems, missingPacks } from '../../../src/store/index/missing-packs.ts';
import { openStore } from '../../../src/store/directory/store.ts';
import { writeStoreRecord } from '../../../src/store/directory/store-record.ts';
import { realWorld, type World } from '../../../src/sys/world.ts';
import { rememberApart } from '../../support/box-state.ts';
import { noise } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

rememberApart();

const MiB = 2 ** 20;

/** Packs 1 to 5, of which the last one holds the nodes. */
async function place(
  world: World = simulatedWorld(),
  options: { home?: string; passphrase?: string } = {},
) {
  const { store, set } = await newStore(world, options);
  await storePoint(store, set, noise(4 * MiB, 1), { packLength: MiB });
  const missing = async () => {
    await using again = await openStore(world, store.directory);
    return missingPacks(again);
  };
  const lose = (pack: number) => world.files.unlink(store.packs.path(pack));
  return { world, store, set, missing, lose };
}

test('a gap in the numbers of packs is a pack that was lost, also behind the last one', async () => {
  const { store, missing, lose } = await place();
  deepEqual(await missing(), []);
  const numbers = await store.packs.list();
  const last = numbers.at(-1)!;
  ok(last >= 4);
  await lose(2);
  deepEqual(await missing(), [{ first: 2, last: 2 }]);
  await lose(last);
  const lost = await missing();
  deepEqual(lost, [
    { first: 2, last: 2 },
    { first: last, last },
  ]);
  const found = await missingPackProblems(store, [{ first: 1, last: 3 }]);
  deepEqual(
    found.map(({ where }) => where),
    [store.packs.path(2)],
    'only what is missing now as well',
  );
});

test('a pack that is being written is not missing, and a strange number makes no gap', async () => {
  const { world, store, missing } = await place();
  const { files } = world;
  const [first] = await store.packs.list();
  await files.rename(store.packs.path(first!), `${store.packs.path(first!)}.open`);
  deepEqual(await missing(), []);
  await files.makeDirectory(`${HOME}/packs/99999`);
  await using _file = await files.create(`${HOME}/packs/99999/99999999.pack`);
  deepEqual(await missing(), []);
});

test('gaps that an earlier release left are no loss, before and after an upgrade', async () => {
  const { world, store, missing, lose } = await place();
  await lose(2);
  const { id, created, needs } = store.record;
  const none = { read: [], write: [] };
  await writeStoreRecord(world.files, HOME, { id, created, version: 1, needs: none });
  deepEqual(await missing(), []);
  await writeStoreRecord(world.files, HOME, { id, created, version: 2, needs, gaplessFrom: 4 });
  deepEqual(await missing(), []);
  await writeLastPack(world.files, HOME, 9);
  deepEqual((await missing()).at(-1)?.last, 9);
  ok((await missing()).every(({ first }) => first >= 4));
});

test('a check without keys names a pack that is missing', async () => {
  const directory = join(temporaryDirectory(), 'store');
  const { store, lose } = await place(realWorld(), { home: directory, passphrase: 'secret' });
  const found = async () => {
    await using engine = await openEngine(directory);
    const { problems } = await checkStore(engine, {
      ...{ readData: false, secrets: async () => undefined },
      ...{ signal: new AbortController().signal, report: () => {} },
    });
    return problems;
  };
  deepEqual(await found(), []);
  await lose(2);
  const [problem, ...others] = await found();
  deepEqual(others, []);
  ok(problem!.where === store.packs.path(2) && problem!.what.startsWith('pack 2 is missing'));
  await store[Symbol.asyncDispose]();
});
