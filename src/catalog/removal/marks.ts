import { join } from 'node:path/posix';
import { decodeMarks, encodeMarks, type MarksRecord } from '../../formats/store/catalog/marks.ts';
import type { Store } from '../../store/directory/store.ts';
import { CatalogError } from '../catalog-error.ts';
import { leaseTurn } from '../leases.ts';
import { type PointPlace, pointIds } from '../point-places.ts';
import { type RecordProblem, setDirectory } from '../set-copies.ts';
import type { OpenSet } from '../sets.ts';
import { putTwice, readTwice, type TwoPaths } from './two-copies.ts';

/*
 * What people say of a recovery point after it was published, beside its record and twice. Grammar, and what counts
 * where something is damaged: formats/store/catalog/marks.md.
 */

/** A note, 16 tags and 16 holds; JSON writes a character as up to six bytes. */
const RECORD_LENGTH_MAX = 16 * 1024;
const SUFFIX = '.marks';
const COPY = '.copy';

export function marksPaths(store: Store, { set, id }: PointPlace): TwoPaths {
  const path = join(marksDirectory(store, set), id + SUFFIX);
  return [path, path + COPY];
}

function marksDirectory(store: Store, set: string): string {
  return join(setDirectory(store, set), 'marks');
}

/** The points of a set that have marks, from the names of the files alone. */
export async function markedIds(store: Store, set: string): Promise<ReadonlySet<string>> {
  const { files } = store;
  const directory = marksDirectory(store, set);
  const names = (await files.stat(directory)) ? await files.list(directory) : [];
  return new Set(
    names.flatMap((name) => {
      const own = name.endsWith(COPY) ? name.slice(0, -COPY.length) : name;
      return own.endsWith(SUFFIX) ? [own.slice(0, -SUFFIX.length)] : [];
    }),
  );
}

/** Undefined: the point has none. Rejects CORRUPT if there are files, and none of them can be read. */
export async function readMarks(
  store: Store,
  place: PointPlace,
  key?: Uint8Array,
): Promise<MarksRecord | undefined> {
  const { found, problems } = await readBoth(store, place, key);
  if (found) return found;
  const [first] = problems;
  if (!first) return undefined;
  const advice = 'put it back from a copy of the store';
  throw new CatalogError(
    'CORRUPT',
    `what keeps ${place.id} cannot be read: ${first.reason}; ${advice}`,
  );
}

/** What is damaged of the marks of a set; without its key they are not authenticated. */
export async function marksDamage(
  store: Store,
  set: string,
  key: Uint8Array | undefined,
): Promise<readonly RecordProblem[]> {
  const found: RecordProblem[] = [];
  for (const id of await markedIds(store, set)) {
    found.push(...(await readBoth(store, { set, id }, key)).problems);
  }
  return found;
}

async function readBoth(store: Store, place: PointPlace, key: Uint8Array | undefined) {
  const paths = marksPaths(store, place);
  const { read, problems } = await readTwice(store, paths, RECORD_LENGTH_MAX, (bytes, path) => {
    const record = decodeMarks(bytes, key);
    if (record.set === place.set && record.point === place.id) return record;
    const of = `${record.set}/${record.point}`;
    throw new CatalogError('CORRUPT', `${path}: it has the marks of ${of}`);
  });
  return { found: read[0]?.record, problems };
}

/** Rejects NOT_FOUND if the point was forgotten in the meantime, CORRUPT. */
export async function changeMarks(
  store: Store,
  set: OpenSet,
  id: string,
  change: (before: MarksRecord) => MarksRecord,
): Promise<MarksRecord> {
  const { files } = store;
  const place = { set: set.name, id };
  await using _turn = await leaseTurn(store, `marks of ${id}`);
  if (!(await pointIds(store, set.name)).includes(id)) {
    throw new CatalogError('NOT_FOUND', `set "${set.name}" has no recovery point "${id}"`);
  }
  const none: MarksRecord = {
    ...{ set: set.name, point: id, counter: 0, note: undefined, tags: [], protected: false },
    ...{ holds: [], lockedUntil: undefined },
  };
  const before = (await readMarks(store, place, set.keys.record)) ?? none;
  const after = { ...change(before), counter: before.counter + 1 };
  const directory = marksDirectory(store, set.name);
  if (!(await files.stat(directory))) {
    await files.makeDirectory(directory);
    await files.syncDirectory(setDirectory(store, set.name));
  }
  const bytes = encodeMarks(after, set.keys.record);
  await putTwice(store, marksPaths(store, place), bytes);
  return after;
}

/** Removes the marks of points that are gone; needs no room on the disk. The caller has the turn of leases. */
export async function dropMarks(store: Store, set: string, ids: readonly string[]): Promise<void> {
  const { files } = store;
  const marked = await markedIds(store, set);
  for (const id of ids.filter((it) => marked.has(it))) {
    for (const path of marksPaths(store, { set, id })) {
      if (await files.stat(path)) await files.unlink(path);
    }
  }
}
