import type { JobRecord } from '../formats/store/job.ts';
import { type EndedJob, hasEnded } from '../jobs/job-state.ts';
import type { JobQueue, JobView } from '../jobs/queue.ts';
import type { ScheduleView, Schedules } from '../jobs/schedules.ts';
import type { RequestOf, ResultOf } from '../protocol/operations.ts';
import type { JobSummary, Report, ScheduleOutcome, ScheduleSummary } from '../protocol/results.ts';
import { checkRetention } from './retention.ts';

/** What is asked of jobs and schedules. */
export interface JobDesk {
  readonly queue: JobQueue;
  readonly schedules: Schedules;
}

export async function createJob(
  { queue }: JobDesk,
  { kind, request }: RequestOf<'job/create'>,
): Promise<JobSummary> {
  checkRequest({ kind, request } as RequestOf<'job/create'>);
  const { id } = await queue.submit({ kind, request });
  return summaryOf(queue.show(id));
}

export function jobs(
  { queue }: JobDesk,
  { first, count, active }: RequestOf<'job/list'>,
): ResultOf<'job/list'> {
  const isActive = ({ job }: JobView): boolean => !active || !hasEnded(job);
  const all = queue.list().filter(isActive);
  const end = count === undefined ? all.length : first + count;
  return { jobs: all.slice(first, end).map(summaryOf), total: all.length, first };
}

export function showJob({ queue }: JobDesk, id: string): JobSummary {
  return summaryOf(queue.show(id));
}

export async function jobLog(
  { queue }: JobDesk,
  { job, first }: RequestOf<'job/log'>,
): Promise<ResultOf<'job/log'>> {
  const notes = await queue.notes(job);
  return { job, lines: notes.flatMap(parsedNote).slice(first) };
}

/** A power cut may have taken the end of a line. */
function parsedNote(line: string): { readonly time: string; readonly message: string }[] {
  try {
    const { time, message } = JSON.parse(line) as Record<string, unknown>;
    return typeof time === 'string' && typeof message === 'string' ? [{ time, message }] : [];
  } catch {
    return [];
  }
}

export async function cancelJob({ queue }: JobDesk, id: string): Promise<JobSummary> {
  await queue.cancel(id);
  return summaryOf(queue.show(id));
}

export async function attendJob(
  { queue }: JobDesk,
  id: string,
  { report, signal }: { readonly report: Report; readonly signal: AbortSignal },
): Promise<JobSummary> {
  return summaryOf(await queue.attend(id, report, signal));
}

export async function createSchedule(
  { schedules, queue }: JobDesk,
  { schedule, at, job }: RequestOf<'schedule/create'>,
): Promise<ScheduleSummary> {
  checkRequest(job);
  const { kind, request } = job;
  const made = await schedules.create({ name: schedule, at, kind, request });
  return scheduleSummaryOf(made, endedJobs(queue));
}

export function listSchedules({ schedules, queue }: JobDesk): ResultOf<'schedule/list'> {
  const ended = endedJobs(queue);
  return { schedules: schedules.list().map((it) => scheduleSummaryOf(it, ended)) };
}

/** The newest job of each schedule that has ended, by the schedule's name. */
function endedJobs(queue: Pick<JobQueue, 'list'>): ReadonlyMap<string, EndedJob> {
  const newest = new Map<string, EndedJob>();
  for (const { job } of queue.list()) {
    const { schedule } = job;
    if (schedule === undefined || newest.has(schedule) || !hasEnded(job)) continue;
    newest.set(schedule, job);
  }
  return newest;
}

/** What would fail each time is refused when it is asked for. */
function checkRequest(job: RequestOf<'job/create'>): void {
  if (job.kind === 'backup' && job.request.retention) checkRetention(job.request.retention);
}

export function countsOf({ queue }: JobDesk): { running: number; waiting: number } {
  const states = queue.list().map(({ job }) => job.state);
  const count = (state: JobRecord['state']): number => states.filter((it) => it === state).length;
  return { running: count('running'), waiting: count('waiting') };
}

function summaryOf({ job, progress }: JobView): JobSummary {
  const { id, kind, state, schedule, created, started, ended, reason, notBefore } = job;
  return {
    ...{ job: id, kind, state, schedule: schedule ?? null, created },
    ...{ started: started ?? null, ended: ended ?? null, reason: reason ?? null },
    ...{ notBefore: notBefore ?? null, failures: job.failures },
    ...{ request: job.request, result: job.result ?? null },
    progress: progress
      ? { phase: progress.phase, position: progress.position, total: progress.total }
      : null,
  };
}

function scheduleSummaryOf(
  { schedule, next }: ScheduleView,
  ended: ReadonlyMap<string, EndedJob>,
): ScheduleSummary {
  const { name, at, kind, request, created } = schedule;
  const last = outcomeOf(ended.get(name), created);
  return { schedule: name, at, kind, request, created, next: next ?? null, last };
}

/** Null where the job was made before the schedule was: by one that had the same name, and was removed. */
function outcomeOf(job: EndedJob | undefined, scheduleCreated: string): ScheduleOutcome | null {
  if (job?.ended === undefined || job.created < scheduleCreated) return null;
  const { id, state, ended, reason } = job;
  return { job: id, state, ended, reason: reason ?? null };
}
