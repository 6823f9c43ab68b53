import { equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { pointPath } from '../../../src/catalog/points.ts';
import { pointsDirectory } from '../../../src/catalog/point-places.ts';
import { FORGOTTEN } from '../../../src/catalog/publication.ts';
import { isDead } from '../../../src/formats/store/packs/dead.ts';
import { openStore, type Store } from '../../../src/store/directory/store.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { seeded } from '../../support/random.ts';
import { HOME, newStore, simulatedWorld, storePoint } from '../../support/store.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { bytesOf, FIRST, PACK_LENGTH, points, SECOND, setUp, sweep, sweepStore } from './swept.ts';

/* What was forgotten, or lost, and is there again while a sweep works or after it. */

const openIn = (files: FileSystem): Promise<Store> => openStore(simulatedWorld(files, 7), HOME);

/** By pack: the places of frames that are dead for good. */
async function deadPlaces({ packs }: Store): Promise<Set<string>> {
  const found = new Set<string>();
  for (const pack of await packs.swept.listDead()) {
    const { entries, entriesCrc } = await packs.footer(pack);
    const dead = (await packs.swept.dead({ pack, entriesCrc }))!;
    for (const [at, { offset }] of entries.entries()) {
      if (isDead(dead, at)) found.add(`${pack}/${offset}`);
    }
  }
  return found;
}

test('what is dead stays dead if a recovery point needs it again, and is stored again', async () => {
  const place = await setUp();
  const { files } = place.disk;
  await using store = await openIn(files);
  const { packs } = store;
  const marked: number[] = [];
  for (const pack of await packs.list()) {
    const { header, entries, entriesCrc } = await packs.footer(pack);
    if (header.kind !== 'block') continue;
    // As by a sweep that was interrupted, before its recovery point came back.
    const bits = new Uint8Array(Math.ceil(entries.length / 8)).fill(0xff);
    await packs.swept.writeDead(
      { pack, entriesCrc },
      { count: entries.length, isGivenBack: false, bits },
    );
    marked.push(pack);
  }
  const before = await deadPlaces(store);
  const { damage, removedPacks } = await sweep(files);
  match(damage[0]!.what, /^\d+ frames that are needed again were given back by an earlier sweep$/);
  ok(removedPacks < marked.length);
  const after = await deadPlaces(store);
  const left = new Set(await packs.list());
  for (const at of before) ok(after.has(at) || !left.has(Number(at.split('/')[0])), at);
  ok((await packs.wanted.list()).length > 0, 'a writer builds on none of them');
  // Their space had not been given back yet, and is not: they can still be read.
  equal(await points(files, place), 1);
});

test('a forgetting that a power cut may undo counts only once it cannot', async () => {
  for (let seed = 0; seed < 6; seed++) {
    const disk = crashingFs(seeded(seed));
    const { store, set } = await newStore(simulatedWorld(disk.files), {});
    const first = await storePoint(store, set, FIRST, { packLength: PACK_LENGTH });
    const second = await storePoint(store, set, SECOND, { packLength: PACK_LENGTH });
    // As by a process that was killed before it could sync.
    const tombstone = `${pointsDirectory(store, 'set')}/${first.id}${FORGOTTEN}`;
    await disk.files.rename(pointPath(store, { set: 'set', id: first.id }), tombstone);
    ok(bytesOf(await sweep(disk.files)).freedBytes > 0);
    const { files } = disk.reboot();
    equal(await points(files, { disk, set, first, second }), 1, `seed ${seed}`);
  }
});

test('a lost pack that is put back while needed frames are marked is not removed', async () => {
  const place = await setUp();
  const { files } = place.disk;
  await using store = await openIn(files);
  const { packs } = store;
  for (const pack of await packs.list()) {
    // Those of the forgotten point are removed by the first round.
    if (!(await files.stat(packs.path(pack)))) continue;
    if ((await packs.footer(pack)).header.kind !== 'block') continue;
    await files.rename(packs.path(pack), `${HOME}/away`);
    let lists = 0;
    const list = async (): Promise<number[]> => {
      // The second is that of the packs to look at.
      if (++lists === 2) await files.rename(`${HOME}/away`, packs.path(pack));
      return packs.list();
    };
    const clock = { ...store.clock, sleep: async () => {} };
    await sweepStore({ ...store, clock, packs: { ...packs, list } });
    equal(await points(files, place), 1, `pack ${pack}`);
  }
});
