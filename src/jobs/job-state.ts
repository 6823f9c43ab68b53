import type { JobRecord, JobState } from '../formats/store/service/job.ts';
import type { JsonObject } from '../lib/schema.ts';

/*
 * The life of a job, as pure functions of its record: see formats/store/service/job.md.
 */

/** How an attempt ended. */
export type Outcome =
  | { readonly kind: 'done'; readonly result: JsonObject }
  /** It completed, and its result is bad: repeating it would not help. */
  | { readonly kind: 'bad'; readonly result: JsonObject; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly again: Again }
  | { readonly kind: 'canceled' }
  /** The service is stopping. */
  | { readonly kind: 'stopped' };

/**
 * `never`: it would fail again. `soon`: it may succeed in a while; tried a limited number of times. `until`: it waits
 * for something that is away (a host, a key, the store's other writer), for any length of time.
 */
export type Again = 'never' | 'soon' | 'until';

const MINUTE_MS = 60_000;
/** The delay after each failure; after the last the job has failed. */
const RETRY_MS = [1, 5, 15, 60].map((minutes) => minutes * MINUTE_MS);
/** The first checks for something that is away are frequent, later ones as frequent as a person's. */
const WAIT_MIN_MS = 30_000;
const WAIT_MAX_MS = 10 * MINUTE_MS;
/** A job that crashes the service each time must pause for a while, so that a person can cancel it. */
const DEATHS_AT_ONCE = 3;
const DEATH_DELAY_MS = 10_000;
/** No job waits longer: one that seems to was recorded while the clock was ahead. */
export const DELAY_MAX_MS = Math.max(...RETRY_MS, WAIT_MAX_MS);

export function begun(job: JobRecord, now: Date): JobRecord {
  return {
    ...job,
    ...{ state: 'running', started: now.toISOString() },
    ...{ notBefore: undefined, reason: undefined },
  };
}

export function ended(job: JobRecord, outcome: Outcome, now: Date): JobRecord {
  const at = { ended: now.toISOString(), canceling: undefined };
  switch (outcome.kind) {
    case 'done':
      return { ...job, ...at, state: 'done', result: outcome.result };
    case 'bad':
      return { ...job, ...at, state: 'failed', result: outcome.result, reason: outcome.reason };
    case 'canceled':
      return { ...job, ...at, state: 'canceled', reason: undefined, notBefore: undefined };
    case 'stopped':
      return { ...job, state: 'waiting', reason: 'the service was stopped' };
    case 'failed':
      return failed(job, outcome, now);
    default:
      return outcome satisfies never;
  }
}

/** The job after a request to cancel it: a running one takes its time to end, but does not run again. */
export function canceled(job: JobRecord, now: Date): JobRecord {
  if (job.state === 'waiting') return ended(job, { kind: 'canceled' }, now);
  return job.state === 'running' && job.canceling !== true ? { ...job, canceling: true } : job;
}

function failed(
  job: JobRecord,
  { reason, again }: Extract<Outcome, { kind: 'failed' }>,
  now: Date,
): JobRecord {
  if (again === 'until') {
    const quarter = (now.getTime() - Date.parse(job.created)) / 4;
    const delayMs = Math.min(Math.max(quarter, WAIT_MIN_MS), WAIT_MAX_MS);
    return later(job, { reason, now, delayMs });
  }
  const failures = job.failures + 1;
  const delayMs = RETRY_MS[job.failures];
  if (again === 'soon' && delayMs !== undefined) {
    return later({ ...job, failures }, { reason, now, delayMs });
  }
  return { ...job, failures, reason, state: 'failed', ended: now.toISOString() };
}

function later(
  job: JobRecord,
  {
    reason,
    now,
    delayMs,
  }: { readonly reason: string; readonly now: Date; readonly delayMs: number },
): JobRecord {
  const notBefore = new Date(now.getTime() + delayMs).toISOString();
  return { ...job, state: 'waiting', reason, notBefore };
}

/** The state of a job that was found when the service started. */
export function found(job: JobRecord, now: Date): JobRecord {
  if (job.state !== 'running') return job;
  if (job.canceling === true) return ended(job, { kind: 'canceled' }, now);
  const deaths = job.deaths + 1;
  const reason = `the service ended while it ran${deaths > 1 ? `, ${deaths} times` : ''}`;
  const delayMs = Math.min(Math.max(0, deaths - DEATHS_AT_ONCE) * DEATH_DELAY_MS, WAIT_MAX_MS);
  return later({ ...job, deaths }, { reason, now, delayMs });
}

export type EndedJob = JobRecord & { readonly state: Exclude<JobState, 'waiting' | 'running'> };

export function hasEnded(job: JobRecord): job is EndedJob {
  return job.state !== 'waiting' && job.state !== 'running';
}
