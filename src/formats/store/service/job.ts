import { anyObject, flag, integer, oneOf, optional, text } from '../../../lib/schema.ts';
import { plainRecord } from '../base/plain-record.ts';

// Jobs and schedules as the store keeps them. Grammar: job.md.

export const JOB_KINDS = [
  'backup',
  'backup-machine',
  'check',
  'finalize',
  'keep',
  'restore',
  'restore-images',
  'restore-machine',
  'restore-machine-disk',
  'retain',
  'scrub',
  'sweep',
  'verify',
] as const;
export type JobKind = (typeof JOB_KINDS)[number];
export const JOB_STATES = ['waiting', 'running', 'done', 'failed', 'canceled'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** Room for a backup of 256 disks with long file names. */
const REQUEST_MAX = 2 * 1024 * 1024;
const RESULT_MAX = 4 * 1024 * 1024;
const COUNT_MAX = 1_000_000;

const name = text({ max: 128, pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/, words: 'a name' });
const time = text({ max: 64 });

export const jobFile = plainRecord('holdfast-job', {
  id: name,
  kind: oneOf(...JOB_KINDS),
  /** The request of the operation of that kind. */
  request: anyObject(REQUEST_MAX),
  /** The schedule that made it. */
  schedule: optional(name),
  created: time,
  state: oneOf(...JOB_STATES),
  /** Set while it runs: it was canceled, and does not run again. */
  canceling: optional(flag()),
  /** How often it was started and failed on its own. */
  failures: integer(0, COUNT_MAX),
  /** How often the service died while it ran. */
  deaths: integer(0, COUNT_MAX),
  /** While it waits: the earliest start. */
  notBefore: optional(time),
  started: optional(time),
  ended: optional(time),
  /** Why it waits, or has failed. */
  reason: optional(text({ max: 64 * 1024, min: 0 })),
  result: optional(anyObject(RESULT_MAX)),
});
export type JobRecord = ReturnType<typeof jobFile.decode>;

export const scheduleFile = plainRecord('holdfast-schedule', {
  name,
  /** When it runs: see jobs/calendar.ts. */
  at: text({ max: 256 }),
  kind: oneOf(...JOB_KINDS),
  request: anyObject(REQUEST_MAX),
  created: time,
  /** The due time of its newest job; before the first job, when the schedule was made. Later, if it was resumed. */
  last: time,
  /** Since when it makes no jobs; absent: it makes them. */
  paused: optional(time),
  /** When its times were changed, or it was resumed, last. */
  changed: optional(time),
});
export type ScheduleRecord = ReturnType<typeof scheduleFile.decode>;
