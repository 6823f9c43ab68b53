import {
  HypervisorError,
  type HypervisorErrorCode,
} from '../../hypervisors/base/hypervisor-error.ts';
import type { Again } from '../../jobs/job-state.ts';
import { type FailureKind, OperationFailure } from '../../operations/base/failure.ts';

/** Whether a failure may go away on its own. */
const OF_KIND = {
  failed: 'soon',
  usage: 'never',
  'in-use': 'until',
  'wrong-key': 'until',
  'not-found': 'soon',
  corrupt: 'never',
  'no-space': 'soon',
  denied: 'soon',
  unreachable: 'until',
  'not-proven': 'never',
  interrupted: 'soon',
} as const satisfies Record<FailureKind, Again>;

/**
 * A hypervisor's failures differ from others of their kind. Wrong credentials, tried again and again, lock the account;
 * another product's backup that hangs must not let ours wait without an end.
 */
const OF_HYPERVISOR = {
  UNREACHABLE: 'until',
  AUTH: 'never',
  IDENTITY: 'never',
  DENIED: 'never',
  NOT_FOUND: 'never',
  EXISTS: 'never',
  BUSY: 'soon',
  NO_SPACE: 'soon',
  UNSUPPORTED: 'never',
  LICENCE: 'never',
  LOST: 'soon',
  CONFLICT: 'never',
  FAILED: 'soon',
} as const satisfies Record<HypervisorErrorCode, Again>;

/** What the failure itself says of that; undefined: what others of its kind do. */
export function ownAgain(error: unknown): Again | undefined {
  if (error instanceof HypervisorError) return OF_HYPERVISOR[error.code];
  return error instanceof OperationFailure ? error.again : undefined;
}

export function againAfter(error: unknown, kind: FailureKind): Again {
  return ownAgain(error) ?? OF_KIND[kind];
}
