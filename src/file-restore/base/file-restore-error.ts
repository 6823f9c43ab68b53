import { CodedError } from '../../lib/coded-error.ts';

/**
 * BAD_PATH (leaves the volume, or not a path at all), NOT_FOUND (no such path, volume, open restore), AMBIGUOUS
 * (several volumes have it), UNREADABLE (a damaged table, file system or file), UNSUPPORTED (no program here can open
 * it), LOCKED (a key is needed), WRONG_KEY, TOOL_MISSING (with its package), TIMEOUT (a program was stopped),
 * INTERRUPTED (by the caller), NO_SPACE, DENIED (needs root, or read-only), INCOMPLETE (some files were not copied),
 * EXISTS (files would be replaced), FAILED (the rest).
 */
export type GranularErrorCode =
  | 'BAD_PATH'
  | 'NOT_FOUND'
  | 'AMBIGUOUS'
  | 'UNREADABLE'
  | 'UNSUPPORTED'
  | 'LOCKED'
  | 'WRONG_KEY'
  | 'TOOL_MISSING'
  | 'TIMEOUT'
  | 'INTERRUPTED'
  | 'NO_SPACE'
  | 'DENIED'
  | 'INCOMPLETE'
  | 'EXISTS'
  | 'FAILED';

/** Files of a machine cannot be restored from its disks. */
export class GranularError extends CodedError<GranularErrorCode> {
  override readonly name = 'GranularError';
}
