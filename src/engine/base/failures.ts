import { AlarmError, type AlarmErrorCode } from '../../alarms/alarm-error.ts';
import { BlockError, type BlockErrorCode } from '../../block/block-error.ts';
import { CatalogError, type CatalogErrorCode } from '../../catalog/catalog-error.ts';
import {
  GranularError,
  type GranularErrorCode,
} from '../../file-restore/base/file-restore-error.ts';
import { HostError, type HostErrorCode } from '../../host/base/host-error.ts';
import {
  HypervisorError,
  type HypervisorErrorCode,
} from '../../hypervisors/base/hypervisor-error.ts';
import { IngestError, type IngestErrorCode } from '../../ingest/source/ingest-error.ts';
import { FormatError } from '../../formats/format-error.ts';
import { InvariantError } from '../../lib/assert.ts';
import { SchemaError } from '../../lib/schema.ts';
import { type FailureKind, OperationFailure } from '../../operations/base/failure.ts';
import { SessionError, type SessionErrorCode } from '../../sessions/state/session-error.ts';
import { StoreError, type StoreErrorCode } from '../../store/packs/store-error.ts';
import { SystemError, type SystemErrorCode } from '../../sys/base/system-error.ts';
import { JobError, type JobErrorCode } from '../../jobs/job-error.ts';
import { TreeError, type TreeErrorCode } from '../../vfs/tree-error.ts';

const SYSTEM = {
  NOT_FOUND: 'not-found',
  EXISTS: 'failed',
  NO_SPACE: 'no-space',
  DENIED: 'denied',
  BUSY: 'in-use',
  UNREACHABLE: 'unreachable',
  FAILED: 'failed',
  INVALID: 'usage',
  CORRUPT: 'corrupt',
  IO: 'failed',
} as const satisfies Record<SystemErrorCode, FailureKind>;

const BLOCK = {
  OUT_OF_RANGE: 'failed',
  READ_ONLY: 'failed',
  NO_SPACE: 'no-space',
  CORRUPT: 'corrupt',
  IO: 'failed',
  TIMEOUT: 'failed',
  CLOSED: 'failed',
  NO_BITMAP: 'not-found',
} as const satisfies Record<BlockErrorCode, FailureKind>;

const STORE = {
  NOT_A_STORE: 'not-found',
  EXISTS: 'failed',
  BUSY: 'in-use',
  UNSUPPORTED: 'failed',
  CORRUPT: 'corrupt',
  MISSING: 'corrupt',
  NO_SPACE: 'no-space',
  IO: 'failed',
  CLOSED: 'failed',
  INDEX: 'corrupt',
  LOST: 'corrupt',
} as const satisfies Record<StoreErrorCode, FailureKind>;

const CATALOG = {
  NOT_FOUND: 'not-found',
  AMBIGUOUS: 'not-found',
  EXISTS: 'failed',
  WRONG_KEY: 'wrong-key',
  PASSKEY: 'wrong-key',
  IN_USE: 'in-use',
  KEPT: 'in-use',
  FULL: 'failed',
  BAD_NAME: 'usage',
  CORRUPT: 'corrupt',
  ALTERED: 'corrupt',
} as const satisfies Record<CatalogErrorCode, FailureKind>;

const INGEST = {
  BAD_IMAGE: 'corrupt',
  REFUSED: 'failed',
  BAD_CHANGES: 'usage',
  EXISTS: 'failed',
  TOO_SMALL: 'failed',
  UNSUPPORTED: 'usage',
  VERIFY: 'failed',
} as const satisfies Record<IngestErrorCode, FailureKind>;

const GRANULAR = {
  BAD_PATH: 'usage',
  NOT_FOUND: 'not-found',
  AMBIGUOUS: 'not-found',
  UNREADABLE: 'corrupt',
  UNSUPPORTED: 'failed',
  LOCKED: 'wrong-key',
  WRONG_KEY: 'wrong-key',
  TOOL_MISSING: 'failed',
  TIMEOUT: 'failed',
  INTERRUPTED: 'interrupted',
  NO_SPACE: 'no-space',
  DENIED: 'denied',
  INCOMPLETE: 'failed',
  EXISTS: 'failed',
  FAILED: 'failed',
} as const satisfies Record<GranularErrorCode, FailureKind>;

const SESSION = {
  NOT_FOUND: 'not-found',
  RUNNING: 'in-use',
  IMPOSSIBLE: 'failed',
  CORRUPT: 'corrupt',
  UNSUPPORTED: 'failed',
} as const satisfies Record<SessionErrorCode, FailureKind>;

const TREE = {
  NOT_FOUND: 'not-found',
  EXISTS: 'failed',
  NOT_DIRECTORY: 'failed',
  IS_DIRECTORY: 'failed',
  NOT_EMPTY: 'failed',
  BAD_NAME: 'usage',
  NAME_TOO_LONG: 'usage',
  STALE: 'not-found',
  FIXED: 'failed',
  TOO_LARGE: 'failed',
  NO_SPACE: 'no-space',
  READ_ONLY: 'failed',
  INVALID: 'failed',
  CORRUPT: 'corrupt',
  IO: 'failed',
} as const satisfies Record<TreeErrorCode, FailureKind>;

const JOB = {
  NOT_FOUND: 'not-found',
  EXISTS: 'failed',
  IMPOSSIBLE: 'failed',
  BAD_TIME: 'usage',
  FULL: 'failed',
  CORRUPT: 'corrupt',
} as const satisfies Record<JobErrorCode, FailureKind>;

const ALARM = {
  NOT_FOUND: 'not-found',
  FROZEN: 'failed',
  LOCKED: 'denied',
  IMPOSSIBLE: 'failed',
  REFUSED: 'failed',
} as const satisfies Record<AlarmErrorCode, FailureKind>;
const HOST = {
  BAD_REQUEST: 'usage',
  NOT_FOUND: 'not-found',
  REFUSED: 'failed',
  PENDING: 'in-use',
  TOOL_MISSING: 'failed',
  FAILED: 'failed',
  CORRUPT: 'corrupt',
} as const satisfies Record<HostErrorCode, FailureKind>;

const HYPERVISOR = {
  UNREACHABLE: 'unreachable',
  AUTH: 'denied',
  IDENTITY: 'denied',
  DENIED: 'denied',
  NOT_FOUND: 'not-found',
  EXISTS: 'failed',
  BUSY: 'in-use',
  NO_SPACE: 'no-space',
  UNSUPPORTED: 'failed',
  LICENCE: 'denied',
  LOST: 'failed',
  CONFLICT: 'failed',
  FAILED: 'failed',
} as const satisfies Record<HypervisorErrorCode, FailureKind>;

/** The first failure: closing resources may have failed as a consequence. */
export function firstFailure(error: unknown): unknown {
  let first = error;
  while (first instanceof SuppressedError) first = first.suppressed;
  return first;
}

/** Whether any part of it is a broken invariant, which must never count as handled. */
export function breaksInvariant(error: unknown): boolean {
  if (error instanceof SuppressedError) {
    return breaksInvariant(error.suppressed) || breaksInvariant(error.error);
  }
  if (error instanceof AggregateError) return error.errors.some(breaksInvariant);
  return error instanceof InvariantError;
}

/** The kind of failure; undefined: a bug of our own. */
export function kindOfFailure(error: unknown): FailureKind | undefined {
  if (error instanceof SystemError) return SYSTEM[error.code];
  if (error instanceof BlockError) return BLOCK[error.code];
  if (error instanceof StoreError) return STORE[error.code];
  if (error instanceof CatalogError) return CATALOG[error.code];
  if (error instanceof IngestError) return INGEST[error.code];
  if (error instanceof GranularError) return GRANULAR[error.code];
  if (error instanceof SessionError) return SESSION[error.code];
  if (error instanceof TreeError) return TREE[error.code];
  if (error instanceof HostError) return HOST[error.code];
  if (error instanceof HypervisorError) return HYPERVISOR[error.code];
  if (error instanceof JobError) return JOB[error.code];
  if (error instanceof AlarmError) return ALARM[error.code];
  if (error instanceof SchemaError) return 'usage';
  if (error instanceof FormatError) return 'corrupt';
  if (error instanceof OperationFailure) return error.kind;
  return undefined;
}
