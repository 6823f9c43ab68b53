import { CodedError } from '../lib/coded-error.ts';

/**
 * NOT_FOUND (no such job or schedule), EXISTS (a schedule of that name), IMPOSSIBLE (the job is past that), BAD_TIME
 * (not a calendar expression), FULL (too many wait), CORRUPT (a record cannot be read).
 */
export type JobErrorCode = 'NOT_FOUND' | 'EXISTS' | 'IMPOSSIBLE' | 'BAD_TIME' | 'FULL' | 'CORRUPT';

export class JobError extends CodedError<JobErrorCode> {
  override readonly name = 'JobError';
}
