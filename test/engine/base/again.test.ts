import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { againAfter } from '../../../src/engine/base/again.ts';
import { kindOfFailure } from '../../../src/engine/base/failures.ts';
import { failureOf, toldFailure } from '../../../src/engine/worker/worker-messages.ts';
import {
  HypervisorError,
  type HypervisorErrorCode,
} from '../../../src/hypervisors/base/hypervisor-error.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';

function againOf(error: Error) {
  return againAfter(error, kindOfFailure(error)!);
}

test('a job waits for a hypervisor that is away, tries a busy one again, and no wrong credentials', async () => {
  const codes: readonly HypervisorErrorCode[] = ['UNREACHABLE', 'BUSY', 'NO_SPACE', 'LOST'];
  const never: readonly HypervisorErrorCode[] = ['AUTH', 'IDENTITY', 'DENIED', 'UNSUPPORTED'];
  deepEqual(
    codes.map((code) => againOf(new HypervisorError(code, ''))),
    ['until', 'soon', 'soon', 'soon'],
  );
  for (const code of never) equal(againOf(new HypervisorError(code, '')), 'never');
});

test('whether to try again is the same where the failure comes from a process of its own', async () => {
  for (const error of [
    new HypervisorError('AUTH', 'refused'),
    new HypervisorError('BUSY', 'a job runs'),
    new SystemError('UNREACHABLE', 'no answer'),
  ]) {
    const told = failureOf(structuredClone(toldFailure(error)!));
    deepEqual([told.message, againOf(told)], [error.message, againOf(error)]);
  }
});
