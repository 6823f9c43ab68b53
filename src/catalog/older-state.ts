import type { PointLink } from '../formats/store/catalog/point.ts';
import type { Store } from '../store/directory/store.ts';
import { headPath, linkToFile, type MachineInSet, usableHead } from './point-chain.ts';
import { pointPath, pointsOfMachine } from './points.ts';
import { tombstones } from './publication.ts';
import type { RecordProblem } from './set-copies.ts';
import { pointsDirectory } from './point-places.ts';

/** The newest published recovery point of a machine, as remembered outside the store. */
export interface KnownPoint extends MachineInSet {
  readonly point: PointLink;
}

/**
 * Describes how the store has an older state of the machine's recovery points than `known`; undefined: it does not,
 * or it cannot tell because it has no heads. With the set's record key the head is authentic. See
 * formats/store/catalog/head.md.
 */
export async function olderState(
  store: Store,
  { point: known, ...of }: KnownPoint,
  key?: Uint8Array,
): Promise<RecordProblem | undefined> {
  if (!store.has('point-chain')) return undefined;
  const found = await whatIsThere(store, { point: known, ...of }, key);
  if (found === undefined) return undefined;
  const reason =
    `the last recovery point of ${of.machine} that this box created in set "${of.set}" is ${known.id}, ` +
    `number ${known.sequence}, and the store ${found}: its files are older, or were altered. Look for a ` +
    'newer copy of the store; if you have put back an older one yourself: "holdfast store adopt"';
  return { path: headPath(store, of), reason };
}

/** Describes it; undefined: the store has this point, or a newer one, or the point was forgotten. */
async function whatIsThere(
  store: Store,
  { point: known, ...of }: KnownPoint,
  key: Uint8Array | undefined,
): Promise<string | undefined> {
  const head = await usableHead(store, of, key);
  const end = head?.point;
  if (end && (end.sequence > known.sequence || isSame(end, known))) return undefined;
  const isThere = (await store.files.stat(pointsDirectory(store, of.set))) !== undefined;
  // A head that is damaged, or older than the points, says less than they do.
  const points = isThere ? (await pointsOfMachine(store, of)).points : [];
  const newest = Math.max(end?.sequence ?? 0, ...points.map(({ sequence }) => sequence));
  if (newest > known.sequence) return undefined;
  const record = points.find(({ id }) => id === known.id);
  const link = record && (await linkToFile(store, pointPath(store, record), record));
  if (link) return isSame(link, known) ? undefined : 'has another point of that name';
  const graves = await tombstones(store, of.set, key, (id) => id === known.id);
  if (graves.length > 0) return undefined;
  if (newest === known.sequence) return 'has another point of that number';
  return newest === 0 ? 'has no point of that machine' : `has no point above number ${newest}`;
}

function isSame(a: PointLink, b: PointLink): boolean {
  return a.id === b.id && Buffer.compare(a.digest, b.digest) === 0;
}
