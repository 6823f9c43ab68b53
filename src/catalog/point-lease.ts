import type { PointRecord } from '../formats/store/catalog/point.ts';
import { holdRoots } from '../store/directory/reader-leases.ts';
import type { Root } from '../store/directory/roots.ts';
import type { Store } from '../store/directory/store.ts';
import { CatalogError } from './catalog-error.ts';
import { pointExists } from './points.ts';
import type { OpenSet } from './sets.ts';

/**
 * For as long as a process reads from a recovery point: what the point needs stays readable until this is disposed or
 * the process ends, even if the point is forgotten in the meantime, as an unlinked file does. Taken before the first
 * block is read. Rejects NOT_FOUND if the point has been forgotten already. `holder`: what reads, for people.
 */
export async function holdPoint(
  store: Store,
  set: Pick<OpenSet, 'name' | 'record'>,
  point: ReadPoint,
  holder: string,
): Promise<AsyncDisposable> {
  const { id } = point;
  const domain = Buffer.from(set.record.domain).toString('hex');
  const roots = rootsOf(point, { set: set.name, domain });
  await using stack = new AsyncDisposableStack();
  stack.use(await holdRoots(store, roots, holder));
  // Only now: a sweep may have listed the leases before this one was there (reader-leases.ts).
  if (!(await pointExists(store, { set: set.name, id }))) {
    throw new CatalogError('NOT_FOUND', `recovery point ${id} has just been forgotten`);
  }
  const owned = stack.move();
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** The same; undefined: the point has been forgotten already, so nothing is to be read of it. */
export async function tryHoldPoint(
  ...asked: Parameters<typeof holdPoint>
): Promise<AsyncDisposable | undefined> {
  try {
    return await holdPoint(...asked);
  } catch (cause) {
    if (cause instanceof CatalogError && cause.code === 'NOT_FOUND') return undefined;
    throw cause;
  }
}

/** A point, or those of its disks and files that are read. */
type ReadPoint = Pick<PointRecord, 'id'> & Partial<Pick<PointRecord, 'disks' | 'files'>>;

/** All that these disks and files need: what is missing here, a sweep removes. `domain`: in hexadecimal digits. */
export function rootsOf(
  { id, disks, files }: ReadPoint,
  { set, domain }: { readonly set: string; readonly domain: string },
): Root[] {
  const where = `recovery point ${id} of set ${set}`;
  return [...(disks ?? []), ...(files ?? [])].flatMap(({ reference }) =>
    reference ? [{ domain, place: reference, where }] : [],
  );
}
