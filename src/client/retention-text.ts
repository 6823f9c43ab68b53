import type { UsedRules } from '../operations/base/retention.ts';

const COUNTS = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;

/** `last 3, daily 7, within 14d; hours, days, weeks, months and years in UTC`. */
export function retentionText(rules: UsedRules): string {
  return `${briefRetention(rules)}; hours, days, weeks, months and years in ${rules.timeZone}`;
}

/** The same for a narrow column: `last 3, daily 7, within 14d`. */
export function briefRetention(rules: UsedRules): string {
  const counts = COUNTS.filter((it) => rules[it] > 0).map((it) => `${it} ${rules[it]}`);
  const within = rules.within === undefined ? [] : [`within ${rules.within}`];
  return [...counts, ...within].join(', ');
}
