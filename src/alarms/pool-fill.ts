import type { AlarmLevel } from '../formats/store/service/alarm.ts';
import type { Space } from '../sys/files/file-system.ts';

export interface FillLimits {
  readonly warningPercent: number;
  readonly criticalPercent: number;
}

/** An alarm ends this far below its limit: a pool at the limit must not raise alarms all day. */
const SLACK_PERCENT = 3;

export function usedPercent({ freeBytes, totalBytes }: Space): number {
  return totalBytes > 0 ? 100 * (1 - freeBytes / totalBytes) : 100;
}

/** The level of a pool's fill, given the level `before`. */
export function fillLevel(
  percent: number,
  { warningPercent, criticalPercent }: FillLimits,
  before: AlarmLevel | undefined,
): AlarmLevel | undefined {
  const reaches = (limit: number, isStanding: boolean): boolean =>
    percent >= limit - (isStanding ? SLACK_PERCENT : 0);
  if (reaches(criticalPercent, before === 'critical')) return 'critical';
  return reaches(warningPercent, before !== undefined) ? 'warning' : undefined;
}
