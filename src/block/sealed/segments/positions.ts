import type { LogPosition } from '../../../formats/store/sessions/overlay-log.ts';

/** Positions order the log: one lies before another if its segment is older, or the same and its place is smaller. */
export function isBefore(one: LogPosition, other: LogPosition): boolean {
  return one.segment < other.segment || (one.segment === other.segment && one.place < other.place);
}

/** Before everything: no segment has this number. */
export const LOG_START: LogPosition = { segment: 0, place: 0 };
