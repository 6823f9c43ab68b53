import { proofFiles, proofsOf } from '../../catalog/proof-records.ts';
import { machineOf, type PointPlace } from '../../catalog/point-places.ts';
import type { ProofOutcome as KeptOutcome } from '../../formats/store/catalog/proof.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { ProofOutcome } from '../../operations/base/proofs.ts';
import type { PointSummary } from '../../operations/nouns/backup.ts';
import type { Store } from '../../store/directory/store.ts';
import { marksIn } from './marks.ts';
import { summaryOf } from '../base/point-summary.ts';

/* What lists say of proofs: no key, and one short file for each point that was tried. */

export function outcomeOf(
  { verdict, state, started, totalMs, release }: KeptOutcome,
  now: Date,
): ProofOutcome {
  const ageMs = now.getTime() - Date.parse(started);
  const ageSeconds = Math.max(0, Math.floor(ageMs / 1000)) || 0;
  return { verdict, state, started, ageSeconds, totalMs, release };
}

/** The last proof of each point; undefined: it was not tried. */
async function lastOutcomes(
  store: Store,
  places: readonly PointPlace[],
): Promise<readonly (ProofOutcome | undefined)[]> {
  const tried = await triedIn(store, places);
  const now = store.clock.now();
  const found: (ProofOutcome | undefined)[] = [];
  for (const place of places) {
    const isTried = tried.get(place.set)?.has(place.id);
    const [last] = isTried ? await proofsOf(store, place) : [];
    found.push(last && outcomeOf(last, now));
  }
  return found;
}

export type NewestProof = ProofOutcome & { readonly point: string };

/** By machine: the last proof of its newest point that was tried. `places`: newest first. */
export async function newestProofs(
  store: Store,
  places: readonly PointPlace[],
  isWanted: (machine: string) => boolean,
): Promise<ReadonlyMap<string, NewestProof>> {
  const tried = await triedIn(store, places);
  const newest = new Map<string, PointPlace>();
  for (const place of places) {
    const machine = machineOf(place.id);
    if (machine === undefined || newest.has(machine) || !isWanted(machine)) continue;
    if (tried.get(place.set)?.has(place.id)) newest.set(machine, place);
  }
  const outcomes = await lastOutcomes(store, [...newest.values()]);
  return new Map(
    [...newest].flatMap(([machine, { id }], at): [string, NewestProof][] => {
      const outcome = outcomes[at];
      return outcome ? [[machine, { point: id, ...outcome }]] : [];
    }),
  );
}

/** By set: its points that have a record of proofs. */
async function triedIn(
  store: Store,
  places: readonly PointPlace[],
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const tried = new Map<string, ReadonlySet<string>>();
  for (const set of new Set(places.map((place) => place.set))) {
    tried.set(set, (await proofFiles(store, set)).records);
  }
  return tried;
}

export async function summariesOf(
  store: Store,
  points: readonly PointRecord[],
): Promise<readonly PointSummary[]> {
  const proofs = await lastOutcomes(store, points);
  const marks = await marksIn(store, points);
  return points.map((point, at) => ({
    ...{ ...summaryOf(point), marks: marks[at], proof: proofs[at] },
  }));
}
