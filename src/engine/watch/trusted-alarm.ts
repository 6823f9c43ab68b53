import type { Condition } from '../../alarms/alarm-state.ts';
import type { TrustedTime } from '../../alarms/trusted-time.ts';

const HOUR_MS = 60 * 60_000;
const ADVICE =
  'compare the clock of this host with one that you trust; then two users confirm it ("holdfast clock confirm")';

/** What is wrong with the time by which locks end. `known`: undefined: its record is damaged. */
export function trustedConditions(known: TrustedTime | undefined): readonly Condition[] {
  const what = { kind: 'trusted-time', level: 'warning' } as const;
  if (!known) {
    const message = `the record of trusted time is damaged, so that no lock of a recovery point ends: ${ADVICE}`;
    return [{ ...what, message }];
  }
  const { uncountedMs } = known;
  if (uncountedMs === 0) return [];
  const hours = Math.round(uncountedMs / HOUR_MS);
  const message =
    `according to its clock, the host was off for ${hours} hours more than are counted; locks of recovery points end ` +
    `later by that time, and nothing is forgotten until a person acknowledges this alarm: ${ADVICE}`;
  return [{ ...what, message, occurrence: String(hours) }];
}
