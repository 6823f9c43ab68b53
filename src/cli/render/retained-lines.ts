import { retentionText } from '../../client/retention-text.ts';
import type { JudgedPoint } from '../../operations/base/retention.ts';
import type { ResultOf } from '../../operations/operations.ts';

/** A dry run shows every point; otherwise only what was forgotten, and what stays although no rule keeps it. */
export function retainedText(
  { retention, points, oldest, damaged, kept }: ResultOf<'backup/retain'>,
  isDryRun: boolean,
): string {
  const goes = isDryRun ? 'would be forgotten' : 'forgotten';
  const shown = points.filter(
    ({ stays, keptBy }) => isDryRun || !stays || keptBy.some(({ by }) => !EXPECTED.has(by)),
  );
  const width = Math.max(0, ...shown.map(({ point }) => point.length));
  const line = ({ point, stays, keptBy }: JudgedPoint): string => {
    const why = keptBy.map(reasonText).join(', ') || 'no rule keeps it';
    return `${(stays ? 'stays' : goes).padEnd(goes.length)}  ${point.padEnd(width)}  ${why}`;
  };
  return [
    `keep ${retentionText(retention)}`,
    ...shown.map(line),
    ...damaged.map(({ reason }) => `DAMAGED, so no rule counts it, and it stays: ${reason}`),
    ...oldest.map(
      ({ machine, created, point }) =>
        `${machine}: the oldest that stays is of ${created}, ${point}`,
    ),
    kept === 1 ? '1 stays' : `${kept} stay`,
  ].join('\n');
}

type Reason = JudgedPoint['keptBy'][number];

const RULES = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
const EXPECTED: ReadonlySet<string> = new Set([...RULES, 'within', 'newest', 'session']);

function reasonText({ by, what }: Reason): string {
  if (by === 'within') return `within ${what} of the newest`;
  if (by === 'future') return `${what}, so no rule counts it`;
  return RULES.some((it) => it === by) ? `${by} ${what}` : what;
}
