import { flag, integer, list, type Of, object, text } from '../../../lib/schema.ts';
import { plainRecord } from '../base/plain-record.ts';

// The time by which locks end: it passes while the host runs, and never jumps with its clock. Grammar: trusted-time.md.

const milliseconds = integer(0, Number.MAX_SAFE_INTEGER);
const ID_MAX = 2 ** 32 - 1;
/** If a host restarts more often within 30 days, further times off do not count. */
export const ABSENCES_MAX = 256;

const ABSENCE = object({ endMs: milliseconds, countedMs: milliseconds });
export type Absence = Of<typeof ABSENCE>;

const APPROVAL = object({
  uid: integer(0, ID_MAX),
  wallMs: milliseconds,
  sinceBootMs: milliseconds,
});

export const trustedTimeFile = plainRecord('holdfast-trusted-time', {
  /** Since 1970. */
  trustedMs: milliseconds,
  /** Readings of the clocks when that was written. */
  ...{ bootId: text({ max: 256 }), wallMs: milliseconds, sinceBootMs: milliseconds },
  /** When the host was off, and how much of it counts. */
  absences: list(ABSENCE, ABSENCES_MAX),
  /** What was not counted, because it was too much; a person may confirm it. */
  uncountedMs: milliseconds,
  /** The person who has confirmed the clock, in this boot; another has to do so too. */
  approvals: list(APPROVAL, 1),
  /** The record before it was damaged: trusted time is not known until two people have confirmed the clock. */
  isUnknown: flag(),
});
export type TrustedTimeRecord = ReturnType<typeof trustedTimeFile.decode>;
