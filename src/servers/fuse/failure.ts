import { BlockError, type BlockErrorCode } from '../../block/block-error.ts';
import { ERRNO } from '../../formats/wire/fuse.ts';
import { TreeError, type TreeErrorCode } from '../../vfs/tree-error.ts';

/** Answers a request with this errno(3). */
export class FuseFailure extends Error {
  override readonly name = 'FuseFailure';
  readonly errno: number;
  constructor(errno: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.errno = errno;
  }
}

const OF_TREE = {
  NOT_FOUND: ERRNO.noEntry,
  EXISTS: ERRNO.exists,
  NOT_DIRECTORY: ERRNO.notDirectory,
  IS_DIRECTORY: ERRNO.isDirectory,
  NOT_EMPTY: ERRNO.notEmpty,
  BAD_NAME: ERRNO.invalid,
  NAME_TOO_LONG: ERRNO.nameTooLong,
  STALE: ERRNO.stale,
  FIXED: ERRNO.perm,
  TOO_LARGE: ERRNO.tooBig,
  NO_SPACE: ERRNO.noSpace,
  READ_ONLY: ERRNO.readOnly,
  INVALID: ERRNO.invalid,
  CORRUPT: ERRNO.io,
  IO: ERRNO.io,
} as const satisfies Record<TreeErrorCode, number>;

const OF_BLOCK = {
  OUT_OF_RANGE: ERRNO.invalid,
  READ_ONLY: ERRNO.readOnly,
  NO_SPACE: ERRNO.noSpace,
  CORRUPT: ERRNO.io,
  IO: ERRNO.io,
  TIMEOUT: ERRNO.timedOut,
  CLOSED: ERRNO.stale,
  NO_BITMAP: ERRNO.io,
} as const satisfies Record<BlockErrorCode, number>;

/** Rethrows bugs of our own. */
export function errnoOf(cause: unknown): number {
  if (cause instanceof FuseFailure) return cause.errno;
  if (cause instanceof TreeError) return OF_TREE[cause.code];
  if (cause instanceof BlockError) return OF_BLOCK[cause.code];
  throw cause;
}
