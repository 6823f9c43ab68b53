import type { ResultOf } from '../../operations/operations.ts';

export function lockdownText({
  on,
  since,
  uid,
  persons,
  approvals,
}: ResultOf<'lockdown/show'>): string {
  if (!on) return 'the lockdown is off';
  const begun = `the lockdown is on since ${since}, by user ${uid}`;
  if (persons === 1) return begun;
  const agreed = approvals.map((it) => `user ${it.uid} agreed at ${it.time}`);
  return [begun, `${persons} users have to agree to its end`, ...agreed].join('\n');
}
