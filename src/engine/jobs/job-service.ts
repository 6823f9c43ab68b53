import { parse } from '../../lib/schema.ts';
import type { JobRecord } from '../../formats/store/service/job.ts';
import type { JobFiles } from '../../jobs/job-files.ts';
import { type EndedJob, hasEnded } from '../../jobs/job-state.ts';
import type { JobQueue, JobView } from '../../jobs/queue.ts';
import type { ScheduleView, Schedules } from '../../jobs/schedules.ts';
import type { Report } from '../../operations/events.ts';
import { jobRequest } from '../../operations/nouns/background.ts';
import type { JobSummary, ScheduleOutcome, ScheduleSummary } from '../../operations/nouns/job.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { JobError } from '../../jobs/job-error.ts';
import { type Engine, openSet } from '../base/engine.ts';
import type { ProofRuns } from '../verify/proof-runs.ts';
import { asScheduled, checkJob, setOf } from './job-checks.ts';
import type { JobKeys } from './job-keys.ts';
import type { CallOptions } from '../base/call.ts';

/** The operations on jobs and schedules. */
export interface JobService {
  readonly queue: JobQueue;
  readonly schedules: Schedules;
  readonly keys: JobKeys;
  readonly files: JobFiles;
  readonly proofs: ProofRuns;
}

/** A key that comes with the request is kept in memory until the job has ended. */
export async function createJob(
  service: JobService,
  engine: Engine,
  job: RequestOf<'job/create'>,
  options: CallOptions,
): Promise<JobSummary> {
  const { queue, keys } = service;
  const { kind, request } = await checkJob(engine, job, options);
  const made = await queue.submit({ kind, request });
  // In time: before the job begins, that is first recorded on the disk.
  if (options.given) keys.give(made, options.given);
  return summaryOf(service, queue.show(made.id));
}

/** Gives a job the key that it waits for; it may be trying without it right now. */
export async function unlockJob(
  service: JobService,
  engine: Engine,
  id: string,
  { secrets, given }: CallOptions,
): Promise<JobSummary> {
  const { queue, keys } = service;
  const { job } = queue.show(id);
  if (hasEnded(job)) {
    throw new JobError('IMPOSSIBLE', `job ${id} is ${job.state}: it no longer needs a key`);
  }
  const what = parse(jobRequest, { kind: job.kind, request: job.request });
  const needsNone = what.kind === 'check' || what.kind === 'scrub' || what.kind === 'sweep';
  if (needsNone || what.kind === 'retain') {
    throw new JobError('IMPOSSIBLE', `job ${id} is a ${what.kind}, which does not wait for a key`);
  }
  await openSet(engine, await setOf(engine, what), secrets);
  if (given) keys.give(job, given);
  queue.wake();
  return summaryOf(service, queue.show(id));
}

export function jobs(
  service: JobService,
  { first, count, active }: RequestOf<'job/list'>,
): ResultOf<'job/list'> {
  const isActive = ({ job }: JobView): boolean => !active || !hasEnded(job);
  const foreign = service.queue.foreign().map((job): JobView => ({ job, progress: undefined }));
  const known = service.queue.list().filter(isActive);
  const all = [...foreign, ...known];
  const end = count === undefined ? all.length : first + count;
  const shown = all.slice(first, end);
  const jobs = shown.map((it) => ({ ...summaryOf(service, it), adopted: !foreign.includes(it) }));
  return { jobs, total: all.length, first };
}

export function showJob(service: JobService, id: string): JobSummary {
  return summaryOf(service, service.queue.show(id));
}

export async function jobLog(
  { queue }: JobService,
  { job, first }: RequestOf<'job/log'>,
): Promise<ResultOf<'job/log'>> {
  const notes = await queue.notes(job);
  return { job, lines: notes.flatMap(parsedNote).slice(first) };
}

/** A power cut may have cut off the end of a line. */
function parsedNote(line: string): { readonly time: string; readonly message: string }[] {
  try {
    const { time, message } = JSON.parse(line) as Record<string, unknown>;
    return typeof time === 'string' && typeof message === 'string' ? [{ time, message }] : [];
  } catch {
    return [];
  }
}

export async function cancelJob(service: JobService, id: string): Promise<JobSummary> {
  const job = await service.queue.cancel(id);
  return summaryOf(service, { job, progress: undefined });
}

export async function attendJob(
  service: JobService,
  id: string,
  { report, signal }: { readonly report: Report; readonly signal: AbortSignal },
): Promise<JobSummary> {
  return summaryOf(service, await service.queue.attend(id, report, signal));
}

/** A key that comes with the request is kept in memory, for its jobs, until the service ends. */
export async function createSchedule(
  { schedules, queue, keys }: JobService,
  engine: Engine,
  { schedule, at, job }: RequestOf<'schedule/create'>,
  options: CallOptions,
): Promise<ScheduleSummary> {
  const { kind, request } = asScheduled(job, await checkJob(engine, job, options));
  const made = await schedules.create({ name: schedule, at, kind, request });
  if (options.given) {
    keys.giveSchedule(schedule, options.given);
    options.report({ event: 'notice', message: KEPT_IN_MEMORY });
  }
  return scheduleSummaryOf(made, endedJobs(queue));
}

const KEPT_IN_MEMORY =
  'the key is kept in memory: after a restart of the service, the next job of this schedule waits for it. ' +
  'To give it permanently, name a file in "passphraseFiles" of the settings';

/** Pauses or resumes it, or changes its times. */
export async function changeSchedule(
  { schedules, queue }: JobService,
  change: (schedules: Schedules) => Promise<ScheduleView>,
): Promise<ScheduleSummary> {
  return scheduleSummaryOf(await change(schedules), endedJobs(queue));
}

export async function removeSchedule({ schedules, keys }: JobService, name: string): Promise<void> {
  await schedules.remove(name);
  keys.forgetSchedule(name);
}

export function listSchedules({ schedules, queue }: JobService): ResultOf<'schedule/list'> {
  const ended = endedJobs(queue);
  const foreign = schedules.foreign().map((schedule) => ({
    ...scheduleSummaryOf({ schedule, next: undefined }, new Map()),
    adopted: false,
  }));
  return {
    schedules: [...schedules.list().map((it) => scheduleSummaryOf(it, ended)), ...foreign],
  };
}

/** The newest ended job of each schedule, by the schedule's name. */
function endedJobs(queue: Pick<JobQueue, 'list'>): ReadonlyMap<string, EndedJob> {
  const newest = new Map<string, EndedJob>();
  for (const { job } of queue.list()) {
    const { schedule } = job;
    if (schedule === undefined || newest.has(schedule) || !hasEnded(job)) continue;
    newest.set(schedule, job);
  }
  return newest;
}

export function countsOf({ queue }: JobService): { running: number; waiting: number } {
  const states = queue.list().map(({ job }) => job.state);
  const count = (state: JobRecord['state']): number => states.filter((it) => it === state).length;
  return { running: count('running'), waiting: count('waiting') };
}

function summaryOf({ keys }: JobService, { job, progress }: JobView): JobSummary {
  const { id, kind, state, schedule, created, started, ended, reason, notBefore } = job;
  return {
    ...{ job: id, kind, state, schedule: schedule ?? null, created },
    ...{ started: started ?? null, ended: ended ?? null, reason: reason ?? null },
    ...{ notBefore: notBefore ?? null, failures: job.failures },
    needsKeyOf: (state === 'waiting' ? keys.neededBy(id) : undefined) ?? null,
    ...{ request: job.request, result: job.result ?? null, adopted: true },
    progress: progress
      ? { phase: progress.phase, position: progress.position, total: progress.total }
      : null,
  };
}

function scheduleSummaryOf(
  { schedule, next }: ScheduleView,
  ended: ReadonlyMap<string, EndedJob>,
): ScheduleSummary {
  const { name, at, kind, request, created, paused } = schedule;
  return {
    ...{ schedule: name, at, kind, request, created, adopted: true },
    ...{ next: next ?? null, paused: paused ?? null },
    last: outcomeOf(ended.get(name), created),
  };
}

/** Null if the job is older than the schedule: made by a removed one of the same name. */
function outcomeOf(job: EndedJob | undefined, scheduleCreated: string): ScheduleOutcome | null {
  if (job?.ended === undefined || job.created < scheduleCreated) return null;
  const { id, state, ended, reason } = job;
  return { job: id, state, ended, reason: reason ?? null };
}
