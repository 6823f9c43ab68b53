import { BlockError } from '../../block/block-error.ts';
import { FormatError } from '../../formats/format-error.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { StoreError } from '../packs/store-error.ts';

/** A defect; `where` is a file, or a disk of a recovery point. */
export interface Problem {
  readonly where: string;
  readonly what: string;
}

/** The message for bad data and bad media; any other error is our own bug, and is thrown. */
export function reason(cause: unknown): string {
  const known = [FormatError, StoreError, BlockError, SystemError];
  if (known.some((kind) => cause instanceof kind)) return (cause as Error).message;
  throw cause;
}
