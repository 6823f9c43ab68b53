import {
  decodeExportIndex,
  type ExportContents,
} from '../../formats/store/exports/export-contents.ts';
import type { ExportDamage } from './export-reader.ts';

/* What an import found: its points, and damaged places of the file. */

export interface ImportOutcome {
  readonly points: readonly ImportedPoint[];
  readonly damage: readonly ExportDamage[];
  /** How many more there is than is listed. */
  readonly moreDamage: number;
  readonly storedBytes: number;
}

export interface ImportedPoint {
  /** The set of this store. */
  readonly set: string;
  readonly id: string;
  readonly machine: string;
  /** `new`: it was not imported only because of a dry run. */
  readonly state: 'imported' | 'exists' | 'failed' | 'new';
  /** Why it was not imported; for a new one, why that may fail. */
  readonly reason: string | undefined;
}

/** The most damaged places that are named one by one. */
const DAMAGE_MAX = 1000;

/** What was found, by point and by place. */
export function importFindings() {
  const damage: ExportDamage[] = [];
  const points: ImportedPoint[] = [];
  let count = 0;
  return {
    add(it: ExportDamage): void {
      count++;
      if (damage.length < DAMAGE_MAX) damage.push(it);
    },
    point(it: ImportedPoint): void {
      const isDoubtful = it.state === 'new' && count > 0;
      const reason = 'the file is damaged before it: it may need what is missing';
      points.push(isDoubtful ? { ...it, reason } : it);
    },
    /** Points of the list whose records did not come. */
    missing(
      contents: ExportContents | undefined,
      sets: ReadonlyMap<number, { readonly set: { readonly name: string } } | undefined>,
      reasons: ReadonlyMap<string, string>,
    ): void {
      const seen = new Set(points.map(({ set, id }) => `${set}/${id}`));
      for (const { set: of, id, machine } of contents?.points ?? []) {
        const into = sets.get(of);
        if (sets.has(of) && !into) continue;
        const set = into?.set.name ?? contents?.sets[of]?.name ?? '';
        if (seen.has(`${set}/${id}`)) continue;
        const reason = reasons.get(`${of}/${id}`) ?? 'its record is damaged or missing in the file';
        points.push({ set, id, machine, state: 'failed', reason });
      }
    },
    outcome: () => ({ points, damage, moreDamage: count - damage.length }),
  };
}

/** Why points of the list are not in the file, by set and ID. */
export function reasonsIn(body: Uint8Array): ReadonlyMap<string, string> {
  const { points } = decodeExportIndex(body);
  return new Map(
    points.flatMap(({ set, id, reason }) =>
      reason === undefined
        ? []
        : [[`${set}/${id}`, `it could not be exported: ${reason}`] as const],
    ),
  );
}
