import type { Problem } from '../check/problem.ts';
import { lastNumber } from './stock.ts';
import type { Store } from '../directory/store.ts';

export interface PackRange {
  readonly first: number;
  readonly last: number;
}

/**
 * Numbers of packs that should exist and do not: numbers are given without gaps. Stores of the release of 22 November
 * may have gaps; after an upgrade only later numbers count. A writer may be caught between two packs: a pack is
 * missing only if two looks agree.
 */
export async function missingPacks(store: Store): Promise<PackRange[]> {
  if (!store.has('checked-records')) return [];
  const { there, last, removed } = await givenNumbers(store);
  const found: PackRange[] = [];
  let next = store.record.gaplessFrom ?? 1;
  for (const pack of [...Float64Array.from([...there, ...removed]).sort(), last + 1]) {
    if (pack > last + 1) break;
    if (pack > next) found.push({ first: next, last: pack - 1 });
    next = Math.max(next, pack + 1);
  }
  return found;
}

/** The greatest number of any pack, present or past. */
export async function lastPack(store: Store): Promise<number> {
  return (await givenNumbers(store)).last;
}

async function givenNumbers({ packs }: Store) {
  // Listed first: a pack that is sealed in the meantime is in the second list.
  const open = await packs.unsealed();
  const there = [...open, ...(await packs.list())];
  const { last: written } = await packs.readLast();
  const { numbers: removed } = await packs.swept.removed();
  return { there, removed, last: lastNumber([...there, ...removed, written]) };
}

/** The packs of `before` that are still missing, for people without the keys that would show what was in them. */
export async function missingPackProblems(
  store: Store,
  before: readonly PackRange[],
): Promise<Problem[]> {
  if (before.length === 0) return [];
  const now = await missingPacks(store);
  const found: Problem[] = [];
  let at = 0;
  for (const { first, last } of before) {
    while (now[at] && now[at]!.last < first) at++;
    for (let next = at; now[next] && now[next]!.first <= last; next++) {
      const range = now[next]!;
      const both = { first: Math.max(first, range.first), last: Math.min(last, range.last) };
      found.push(problemOf(store, both));
    }
  }
  return found;
}

function problemOf({ packs }: Store, { first, last }: PackRange): Problem {
  const which = first === last ? `pack ${first} is` : `packs ${first} to ${last} are`;
  const what =
    `${which} missing, and not all of the store's sets could be opened to see what was in ` +
    `${first === last ? 'it' : 'them'}: give the keys of all sets to "store check"`;
  return { where: packs.path(first), what };
}
