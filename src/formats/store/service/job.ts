import {
  anyObject,
  flag,
  integer,
  type JsonObject,
  oneOf,
  optional,
  text,
} from '../../../lib/schema.ts';
import { type Checks, plainRecord } from '../base/plain-record.ts';

// Jobs and schedules as the store keeps them. Grammar: job.md.

export interface JobRecord {
  readonly id: string;
  readonly kind: JobKind;
  /** The request of the operation of that kind. */
  readonly request: JsonObject;
  /** The schedule that made it. */
  readonly schedule: string | undefined;
  readonly created: string;
  readonly state: JobState;
  /** Set while it runs: it was canceled, and does not run again. */
  readonly canceling: boolean | undefined;
  /** How often it was started and failed on its own. */
  readonly failures: number;
  /** How often the service died while it ran. */
  readonly deaths: number;
  /** While it waits: the earliest start. */
  readonly notBefore: string | undefined;
  readonly started: string | undefined;
  readonly ended: string | undefined;
  /** Why it waits, or has failed. */
  readonly reason: string | undefined;
  readonly result: JsonObject | undefined;
}

export const JOB_KINDS = ['backup', 'backup-machine', 'check', 'keep', 'restore'] as const;
export type JobKind = (typeof JOB_KINDS)[number];
export const JOB_STATES = ['waiting', 'running', 'done', 'failed', 'canceled'] as const;
export type JobState = (typeof JOB_STATES)[number];

export interface ScheduleRecord {
  readonly name: string;
  /** When it runs: see jobs/calendar.ts. */
  readonly at: string;
  readonly kind: JobKind;
  readonly request: JsonObject;
  readonly created: string;
  /** The due time of its newest job; before the first job, when the schedule was made. */
  readonly last: string;
}

/** Room for a backup of 256 disks with long file names. */
const REQUEST_MAX = 2 * 1024 * 1024;
const RESULT_MAX = 4 * 1024 * 1024;
const COUNT_MAX = 1_000_000;

const name = text({ max: 128, pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/, words: 'a name' });
const time = text({ max: 64 });

const JOB = plainRecord('holdfast-job', {
  id: name,
  kind: oneOf(...JOB_KINDS),
  request: anyObject(REQUEST_MAX),
  schedule: optional(name),
  created: time,
  state: oneOf(...JOB_STATES),
  canceling: optional(flag()),
  failures: integer(0, COUNT_MAX),
  deaths: integer(0, COUNT_MAX),
  notBefore: optional(time),
  started: optional(time),
  ended: optional(time),
  reason: optional(text({ max: 64 * 1024, min: 0 })),
  result: optional(anyObject(RESULT_MAX)),
});

const SCHEDULE = plainRecord('holdfast-schedule', {
  name,
  at: text({ max: 256 }),
  kind: oneOf(...JOB_KINDS),
  request: anyObject(REQUEST_MAX),
  created: time,
  last: time,
});

export const encodeJob = (job: JobRecord, checks?: Checks): Uint8Array => JOB.encode(job, checks);
/** Throws FormatError. */
export const decodeJob = (bytes: Uint8Array, checks?: Checks): JobRecord =>
  JOB.decode(bytes, checks);

export const encodeSchedule = (schedule: ScheduleRecord, checks?: Checks): Uint8Array =>
  SCHEDULE.encode(schedule, checks);
/** Throws FormatError. */
export const decodeSchedule = (bytes: Uint8Array, checks?: Checks): ScheduleRecord =>
  SCHEDULE.decode(bytes, checks);
