import { integer, optional, text } from '../../../lib/schema.ts';
import { plainRecord } from '../base/plain-record.ts';

// The rules by which backups of a set stay. Grammar: set-retention.md.

const count = integer(0, 10_000);

export const setRetentionFile = plainRecord('holdfast-set-retention', {
  set: text({ max: 64 }),
  last: count,
  hourly: count,
  daily: count,
  weekly: count,
  monthly: count,
  yearly: count,
  within: optional(text({ max: 32 })),
  timeZone: text({ max: 64 }),
});
export type SetRetention = ReturnType<typeof setRetentionFile.decode>;
