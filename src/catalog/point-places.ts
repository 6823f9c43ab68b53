import { join } from 'node:path/posix';
import type { Store } from '../store/directory/store.ts';
import { checkName } from './names.ts';
import { setDirectory } from './set-copies.ts';

/** A recovery point, known by its place, not yet by its contents. */
export interface PointPlace {
  readonly set: string;
  readonly id: string;
}

export const SUFFIX = '.point';

export function pointsDirectory(store: Store, set: string): string {
  return join(setDirectory(store, set), 'points');
}

/** The time at which the recovery point was begun, from its ID; 0 if the ID has none. */
export function idTime(id: string): number {
  const [, date, time] = /-(\d{8})T(\d{6})Z-[0-9a-f]{6}$/.exec(id) ?? [];
  if (date === undefined || time === undefined) return 0;
  const at = (text: string, from: number, to?: number): number => Number(text.slice(from, to));
  const day = [at(date, 0, 4), at(date, 4, 6) - 1, at(date, 6)] as const;
  return Date.UTC(...day, at(time, 0, 2), at(time, 2, 4), at(time, 4));
}

/** The machine that a recovery point is of, from its ID; undefined: the ID does not say it. */
export function machineOf(id: string): string | undefined {
  return /^(.*)-\d{8}T\d{6}Z-[0-9a-f]{6}$/s.exec(id)?.[1];
}

/** All recovery points of a set. */
export async function pointIds(store: Store, set: string): Promise<string[]> {
  const { files } = store;
  checkName(set, 'backup set');
  const directory = pointsDirectory(store, set);
  // A check reports the missing directory; other sets are not affected.
  if (!(await files.stat(directory)) && (await files.stat(setDirectory(store, set)))) return [];
  const names = await files.list(directory);
  return names.filter((name) => name.endsWith(SUFFIX)).map((name) => name.slice(0, -SUFFIX.length));
}
