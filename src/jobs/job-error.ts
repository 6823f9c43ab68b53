/**
 * NOT_FOUND (no such job or schedule), EXISTS (a schedule of that name), IMPOSSIBLE (the job is past that), BAD_TIME
 * (not a calendar expression), FULL (too many wait), CORRUPT (a record cannot be read).
 */
export type JobErrorCode = 'NOT_FOUND' | 'EXISTS' | 'IMPOSSIBLE' | 'BAD_TIME' | 'FULL' | 'CORRUPT';

export class JobError extends Error {
  override readonly name = 'JobError';
  readonly code: JobErrorCode;
  constructor(code: JobErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
