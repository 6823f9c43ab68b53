import type { JobKind, JobRecord } from '../formats/store/job.ts';
import { assert } from '../lib/assert.ts';
import { asError } from '../lib/as-error.ts';
import type { Again, Outcome } from '../jobs/job-state.ts';
import type { AttemptOptions } from '../jobs/queue.ts';
import type { FailureKind } from '../protocol/failure.ts';
import { backupJob, bySession, checkRequest } from '../protocol/requests.ts';
import { SessionError } from '../recovery/session-error.ts';
import { SystemError } from '../sys/system-error.ts';
import { createBackup } from './backups.ts';
import { firstFailure, kindOfFailure } from './failures.ts';
import type { House, SecretSource, WorkOptions } from './house.ts';
import { checkRetention, retain } from './retention.ts';
import { keep } from './sessions.ts';
import { checkStore } from './stores.ts';

/** More is no result to be kept with a job. */
const PROBLEMS_MAX = 1000;

/** Whether a failure may go away by itself. */
const AGAIN = {
  failed: 'soon',
  usage: 'never',
  'in-use': 'until',
  'wrong-key': 'until',
  'not-found': 'soon',
  corrupt: 'never',
  'no-space': 'soon',
  interrupted: 'soon',
} as const satisfies Record<FailureKind, Again>;

/** Only one may write to a store; a check reads all of it, and two would only be slower. */
export function laneOf(kind: JobKind): string {
  return kind === 'check' ? 'check' : 'write';
}

/** What jobs do. Never rejects but for our own faults. */
export function jobWork(house: House, secrets: SecretSource) {
  return async (job: JobRecord, { signal, report }: AttemptOptions): Promise<Outcome> => {
    try {
      return await attempt(house, job, { secrets, signal, report });
    } catch (error) {
      const cause = firstFailure(error);
      const kind = kindOfFailure(cause);
      if (kind === undefined) throw cause;
      const isAway = cause instanceof SystemError && cause.code === 'UNREACHABLE';
      const reason = asError(cause).message;
      return { kind: 'failed', reason, again: isAway ? 'until' : AGAIN[kind] };
    }
  };
}

async function attempt(house: House, job: JobRecord, options: WorkOptions): Promise<Outcome> {
  switch (job.kind) {
    case 'backup':
      return { kind: 'done', result: await backUp(house, job, options) };
    case 'check': {
      const result = await checkStore(house, {
        ...checkRequest.parse(job.request, []),
        ...options,
      });
      const { problems } = result;
      const told = { ...result, problems: problems.slice(0, PROBLEMS_MAX) };
      if (problems.length === 0) return { kind: 'done', result: told };
      return { kind: 'bad', result: told, reason: `${problems.length} problems were found` };
    }
    case 'keep':
      return { kind: 'done', result: await keepOnce(house, job, options) };
    default:
      return job.kind satisfies never;
  }
}

async function backUp(house: House, { request }: JobRecord, options: WorkOptions) {
  const { retention, ...backup } = backupJob.parse(request, []);
  if (retention) checkRetention(retention);
  const point = await createBackup(house, backup, options);
  if (!retention) return { ...point };
  const { set, machine } = backup;
  try {
    return { ...point, retained: await retain(house, { set, machine, retention, dryRun: false }) };
  } catch (error) {
    const cause = firstFailure(error);
    assert(kindOfFailure(cause) !== undefined, `retention failed: ${asError(cause).message}`);
    // The backup is made: doing it again would not help. The next one forgets what this one could not.
    const message = `nothing was forgotten: ${asError(cause).message}`;
    options.report({ event: 'notice', message });
    return { ...point, retained: null };
  }
}

/** A session that is gone was kept by an attempt that did not live to tell. */
async function keepOnce(house: House, { request, deaths }: JobRecord, options: WorkOptions) {
  const { session } = bySession.parse(request, []);
  try {
    return await keep(house, session, options);
  } catch (error) {
    const cause = firstFailure(error);
    const isGone = cause instanceof SessionError && cause.code === 'NOT_FOUND';
    if (!isGone || deaths === 0) throw cause;
    return { session, point: null };
  }
}
