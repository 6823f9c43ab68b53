import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { ENTRIES_MAX, openListings } from '../../../src/engine/files/listing-cache.ts';
import type { Entry } from '../../../src/file-restore/browse/browse.ts';

const entry: Entry = {
  ...{ path: 'a', kind: 'file', size: 0, mode: 0 },
  ...{ uid: 0, gid: 0, modified: 0, target: undefined },
};

function listed(isOpen: (id: string) => boolean = () => true) {
  const listings = openListings(isOpen);
  const made: string[] = [];
  const get = (path: string, length: number, id = 'r') =>
    listings.get({ id, volume: 'vda1', path }, false, async () => {
      made.push(path);
      return { entries: Array.from({ length }, () => entry), refused: null };
    });
  return { listings, made, get };
}

test('listings are kept as long as memory allows: the one that was asked for longest ago goes first', async () => {
  const { made, get } = listed();
  for (const path of ['/a', '/b', '/a', '/b']) await get(path, ENTRIES_MAX);
  deepEqual(made, ['/a', '/b'], 'two of the largest have room');
  await get('/a', ENTRIES_MAX);
  await get('/c', ENTRIES_MAX);
  await get('/a', ENTRIES_MAX);
  deepEqual(made, ['/a', '/b', '/c']);
  await get('/b', ENTRIES_MAX);
  deepEqual(made, ['/a', '/b', '/c', '/b']);
});

test('empty directories are kept as well, but not without end', async () => {
  const { made, get } = listed();
  for (let n = 0; n < 64; n++) await get(`/${n}`, 0);
  await get('/0', 0);
  equal(made.length, 64);
  await get('/64', 0);
  await get('/0', 0);
  equal(made.length, 65);
  await get('/1', 0);
  equal(made.length, 66);
});

test('nothing is kept of a closed restore, even if it was listed in the meantime', async () => {
  const open = new Set(['r', 's']);
  const { listings, made, get } = listed((id) => open.has(id));
  await get('/r', 1, 'r');
  await get('/s', 1, 's');
  open.delete('r');
  listings.drop('r');
  await get('/r', 1, 'r');
  await get('/r', 1, 'r');
  await get('/s', 1, 's');
  deepEqual(made, ['/r', '/s', '/r', '/r']);
});

test('two who want the same at the same time have the same listing', async () => {
  const { made, get } = listed();
  const [one, other] = await Promise.all([get('/a', 1), get('/a', 1)]);
  equal(one, other);
  deepEqual(made, ['/a']);
});
