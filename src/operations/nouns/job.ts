import {
  anyObject,
  field,
  flag,
  integer,
  list,
  nullable,
  type Of,
  object,
  oneOf,
  optional,
  withDefault,
} from '../../lib/schema.ts';
import {
  count,
  first,
  line,
  logLines,
  MANY,
  name,
  nothing,
  prose,
  time,
  timeOrNull,
  word,
} from '../base/fields.ts';
import { mutation, query } from '../base/operation.ts';

/* Jobs, and the schedules that make them: everything except their requests, which take longer to load. */

const PAGE_MAX = 500;
export const REQUEST = 'the request of the operation';

const job = field(name, 'ID of the job', { placeholder: 'JOB', names: 'jobs' });
const kind = field(
  oneOf(
    ...(['backup', 'backup-machine', 'check', 'finalize', 'keep'] as const),
    ...([
      'restore',
      'restore-images',
      'restore-machine',
      'restore-machine-disk',
      'retain',
      'scrub',
      'sweep',
      'verify',
    ] as const),
  ),
  'what it does',
);
const request = field(anyObject(MANY), REQUEST);
const adopted = field(flag(), 'whether this host knows it; otherwise it is not run');

export const jobSummary = object({
  job: field(word, 'ID of the job'),
  kind,
  state: field(oneOf('waiting', 'running', 'done', 'failed', 'canceled'), 'its state'),
  schedule: field(nullable(word), 'the schedule that created it; null: none'),
  created: time('when it was created'),
  started: timeOrNull('when it was started last; null: never'),
  ended: timeOrNull('when it ended; null: it has not'),
  reason: field(nullable(prose), 'why it waits, or has failed'),
  notBefore: timeOrNull('while it waits after a failure: not before'),
  failures: field(count, 'how often it failed'),
  needsKeyOf: field(nullable(word), 'the set whose key it waits for'),
  adopted,
  request,
  result: field(nullable(anyObject(MANY)), 'the result of the operation; null: there is none'),
  progress: field(
    nullable(
      object({
        phase: field(word, 'what it does now'),
        position: field(count, 'how far it is, in bytes'),
        total: field(count, 'how far that goes'),
      }),
    ),
    'how far it is; null: it does not run',
  ),
});
export type JobSummary = Of<typeof jobSummary>;

const unlock = mutation('job/unlock', {
  summary: 'Give a job the key that it waits for',
  description:
    'The service keeps the key in memory: until the job has ended or, if a schedule created the job, for ' +
    'all jobs of that schedule until the service ends.',
  runs: 'service',
  changes: ['job'],
  key: 'opens',
  passkey: 'not asked',
  request: object({ job }),
  result: jobSummary,
  cli: {
    args: ['job'],
    notes: 'Without an option, the command asks for the passphrase.',
    says: 'Job {job} has its key. "holdfast job attend {job}"',
    examples: ['job unlock 3f9c2a', 'job unlock 3f9c2a --passphrase-file web.pass'],
  },
});

const list_ = query('job/list', {
  summary: 'List jobs',
  description: 'Newest first.',
  runs: 'service',
  request: object({
    first: first('how many newer ones to skip'),
    count: field(optional(integer(1, PAGE_MAX)), 'only this many of the newest', {
      placeholder: 'N',
    }),
    active: field(withDefault(flag(), false), 'only those that wait or run'),
  }),
  result: object({
    jobs: field(list(jobSummary, MANY), 'jobs'),
    total: field(count, 'how many there are'),
    first: field(count, 'how many newer ones were skipped'),
  }),
  cli: {
    options: { first: { hidden: true }, count: { name: 'last' } },
    examples: ['job list --last 20', 'job list --active'],
  },
});

const show = query('job/show', {
  summary: 'Show a job',
  runs: 'service',
  request: object({ job }),
  result: jobSummary,
  cli: { args: ['job'], examples: ['job show 3f9c2a'] },
});

const log = query('job/log', {
  summary: 'Show the log of a job',
  runs: 'service',
  request: object({ job, first: first('how many older lines to skip') }),
  result: object({ job: field(word, 'ID of the job'), lines: logLines }),
  cli: {
    args: ['job'],
    options: { first: { hidden: true } },
    examples: ['job log 3f9c2a'],
  },
});

const attend = query('job/attend', {
  summary: 'Report the progress of a job until it has ended',
  runs: 'service',
  request: object({ job }),
  result: jobSummary,
  cli: {
    args: ['job'],
    notes: 'Ctrl-C ends only this command, not the job. Exit code 1 if the job failed.',
    examples: ['job attend 3f9c2a'],
  },
});

const cancel = mutation('job/cancel', {
  summary: 'Cancel a job that waits or runs',
  description: 'A running job ends soon afterwards; "job attend" waits for that.',
  runs: 'service',
  changes: ['job'],
  request: object({ job }),
  result: jobSummary,
  cli: { args: ['job'], examples: ['job cancel 3f9c2a'] },
});

const outcome = object({
  job: field(word, 'ID of the job'),
  state: field(oneOf('done', 'failed', 'canceled'), 'how it ended'),
  ended: time('when it ended'),
  reason: field(nullable(prose), 'why it failed'),
});
export type ScheduleOutcome = Of<typeof outcome>;

export const scheduleSummary = object({
  schedule: field(word, 'name of the schedule'),
  at: field(word, 'when it creates jobs'),
  kind,
  request,
  created: time('when it was created'),
  adopted,
  next: timeOrNull('when it creates its next job; null: never again, or it is paused'),
  paused: timeOrNull('since when it is paused; null: it is not'),
  last: field(
    nullable(outcome),
    'how the newest of its jobs that has ended did so; null: none has',
  ),
});
export type ScheduleSummary = Of<typeof scheduleSummary>;

const listSchedules = query('schedule/list', {
  summary: 'List schedules',
  runs: 'service',
  shows: ['schedule', 'job'],
  request: nothing,
  result: object({ schedules: field(list(scheduleSummary, MANY), 'schedules') }),
  cli: {
    notes: 'LAST: how its newest job ended, and when. "job list" shows the job.',
    examples: ['schedule list'],
  },
});

const schedule = field(name, 'name of the schedule', {
  ...{ placeholder: 'SCHEDULE', names: 'schedules' },
});

/** When a schedule creates jobs. */
export const at = field(
  line(256),
  "when: daily, hourly, 'Mon..Fri 02:30', '*-*-01 04:00'; see systemd.time(7)",
  { placeholder: 'WHEN', label: 'When' },
);

const runSchedule = mutation('schedule/run', {
  summary: 'Run a schedule now',
  description:
    'Creates a job of the schedule at once, in addition to those at its times. The command is refused ' +
    'while the last job of the schedule has not ended.',
  runs: 'service',
  changes: ['schedule', 'job'],
  request: object({ schedule }),
  result: jobSummary,
  cli: {
    args: ['schedule'],
    says: 'Job {job} is {state}; to wait for its end: holdfast job attend {job}',
    examples: ['schedule run nightly'],
  },
});

const changed = {
  runs: 'service',
  changes: ['schedule'],
  result: scheduleSummary,
} as const;

const changeSchedule = mutation('schedule/change', {
  ...changed,
  summary: 'Run a schedule at other times',
  description: 'Missed runs that are still due are dropped. A paused schedule stays paused.',
  request: object({ schedule, at }),
  cli: {
    args: ['schedule'],
    says: 'The times of schedule {schedule} are now: {at}.',
    examples: ["schedule change nightly --at 'Mon..Fri 03:00'"],
  },
});

const pauseSchedule = mutation('schedule/pause', {
  ...changed,
  summary: 'Pause a schedule',
  description:
    'It creates no jobs until it is resumed, and raises no alarm that it is late; its existing jobs continue. ' +
    '"schedule run" still creates a job of it.',
  request: object({ schedule }),
  cli: {
    args: ['schedule'],
    says: 'Schedule {schedule} is paused. To resume it: holdfast schedule resume {schedule}',
    examples: ['schedule pause nightly'],
  },
});

const resumeSchedule = mutation('schedule/resume', {
  ...changed,
  summary: 'Resume a schedule',
  description: 'Runs missed while it was paused are skipped.',
  request: object({ schedule }),
  cli: {
    args: ['schedule'],
    says: 'Schedule {schedule} is resumed.',
    examples: ['schedule resume nightly'],
  },
});

const removeSchedule = mutation('schedule/remove', {
  summary: 'Remove a schedule',
  description: 'It creates no further jobs; its existing jobs continue.',
  runs: 'service',
  changes: ['schedule'],
  request: object({ schedule }),
  result: object({
    schedule: field(word, 'name of the schedule'),
    removed: field(flag(), 'true'),
  }),
  cli: {
    args: ['schedule'],
    says: 'Schedule {schedule} is removed.',
    examples: ['schedule remove nightly'],
  },
});

export const operations = [
  unlock,
  list_,
  show,
  log,
  attend,
  cancel,
  listSchedules,
  runSchedule,
  changeSchedule,
  pauseSchedule,
  resumeSchedule,
  removeSchedule,
] as const;
