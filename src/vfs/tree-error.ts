import { CodedError } from '../lib/coded-error.ts';

/**
 * NOT_FOUND, EXISTS, NOT_DIRECTORY, IS_DIRECTORY, NOT_EMPTY, BAD_NAME (NAME_TOO_LONG for too long ones), STALE (the
 * node no longer exists), FIXED (it belongs to the tree itself), TOO_LARGE, NO_SPACE, READ_ONLY, INVALID, CORRUPT
 * (its log), IO.
 */
export type TreeErrorCode =
  | 'NOT_FOUND'
  | 'EXISTS'
  | 'NOT_DIRECTORY'
  | 'IS_DIRECTORY'
  | 'NOT_EMPTY'
  | 'BAD_NAME'
  | 'NAME_TOO_LONG'
  | 'STALE'
  | 'FIXED'
  | 'TOO_LARGE'
  | 'NO_SPACE'
  | 'READ_ONLY'
  | 'INVALID'
  | 'CORRUPT'
  | 'IO';

export class TreeError extends CodedError<TreeErrorCode> {
  override readonly name = 'TreeError';
}
