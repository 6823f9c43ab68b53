import { BlockError, type BlockErrorCode } from '../../../block/block-error.ts';
import { STATUS } from '../../../formats/wire/nfs3.ts';
import { TreeError, type TreeErrorCode } from '../../../vfs/tree-error.ts';

/** The status of RFC 1813, 2.6, with which a call is answered. */
export class NfsFailure extends Error {
  override readonly name = 'NfsFailure';
  readonly status: number;
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/**
 * The call stays unanswered: its file is away and will be there again, and the client repeats the call. An answer
 * would be an error for a guest.
 */
export class Unanswered extends Error {
  override readonly name = 'Unanswered';
}

const OF_TREE = {
  NOT_FOUND: STATUS.notFound,
  EXISTS: STATUS.exists,
  NOT_DIRECTORY: STATUS.notDirectory,
  IS_DIRECTORY: STATUS.isDirectory,
  NOT_EMPTY: STATUS.notEmpty,
  BAD_NAME: STATUS.invalid,
  NAME_TOO_LONG: STATUS.nameTooLong,
  STALE: STATUS.stale,
  FIXED: STATUS.access,
  TOO_LARGE: STATUS.tooLarge,
  NO_SPACE: STATUS.noSpace,
  READ_ONLY: STATUS.readOnly,
  INVALID: STATUS.invalid,
  CORRUPT: STATUS.io,
  IO: STATUS.io,
} as const satisfies Record<TreeErrorCode, number>;

const OF_BLOCK = {
  OUT_OF_RANGE: STATUS.invalid,
  READ_ONLY: STATUS.readOnly,
  NO_SPACE: STATUS.noSpace,
  CORRUPT: STATUS.io,
  IO: STATUS.io,
  TIMEOUT: STATUS.io,
  CLOSED: STATUS.stale,
  NO_BITMAP: STATUS.io,
} as const satisfies Record<BlockErrorCode, number>;

/** Never JUKEBOX: some clients pass that to their guest as an error. Rethrows faults of our own. */
export function statusOf(cause: unknown): number {
  if (cause instanceof NfsFailure) return cause.status;
  if (cause instanceof TreeError) return OF_TREE[cause.code];
  if (cause instanceof BlockError) return OF_BLOCK[cause.code];
  throw cause;
}
