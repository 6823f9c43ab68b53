import { integer, list, object, type Of, optional, text } from '../../../lib/schema.ts';
import { plainRecord } from '../base/plain-record.ts';

// How far a scrub has come. Grammar: scrub.md.

const time = text({ max: 64 });
const count = integer(0, Number.MAX_SAFE_INTEGER);

/** Disks that are named one by one. */
export const HURT_MAX = 50;
const HURT_LENGTH_MAX = 1024;

const PASS = {
  started: time,
  ended: optional(time),
  /** Packs with lower numbers have been read. */
  next: count,
  packs: count,
  bytes: count,
  /** Frames that were authenticated and decoded. */
  opened: count,
  /** Frames of which only the checksum was verified: the key was not given. */
  summed: count,
  /** Defects that were found. */
  problems: count,
};
const pass = object(PASS);
export type ScrubPass = Of<typeof pass>;

export const scrubFile = plainRecord('holdfast-scrub', {
  pass: optional(pass),
  lastRun: optional(time),
  /** For people: disks of recovery points that need what is damaged, as the last run found them. */
  hurt: list(text({ max: HURT_LENGTH_MAX }), HURT_MAX + 1),
});
export type ScrubRecord = ReturnType<typeof scrubFile.decode>;
