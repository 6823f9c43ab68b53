import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { PointSummary } from '../../operations/nouns/backup.ts';

/** What a recovery point's record says, without the key of its set. */
export function summaryOf(point: PointRecord): Omit<PointSummary, 'marks' | 'proof'> {
  const { id, set, machine, created, origin, parent, disks, stats, run, consistency } = point;
  return {
    point: id,
    set,
    machine,
    created,
    origin,
    parent: parent ?? null,
    disks: disks.map(({ name, size, source }) => ({ name, size, source })),
    ...stats,
    run,
    consistency: consistency && { ...consistency, why: consistency.why },
  };
}
