import { deepEqual, match } from 'node:assert/strict';
import { test } from 'tap';
import type { TrustedTime } from '../../../src/alarms/trusted-time.ts';
import { trustedConditions } from '../../../src/engine/watch/trusted-alarm.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';

const HOUR = 60 * 60_000;

function messages(known: Partial<TrustedTime> | SystemError): string {
  const whole = { trustedMs: 1, uncountedMs: 0, confirmedBy: undefined };
  const it = known instanceof SystemError ? known : { ...whole, ...known };
  return trustedConditions(it)
    .map(({ message }) => message)
    .join('\n');
}

test('an alarm about trusted time says why, and a restart of some minutes raises none', async () => {
  deepEqual(trustedConditions({ trustedMs: 1, uncountedMs: HOUR - 1, confirmedBy: undefined }), []);
  match(messages({ uncountedMs: HOUR }), /off for 1 hour more than is counted/);
  match(messages({ uncountedMs: 5 * HOUR }), /off for 5 hours more than are counted/);
  match(messages({ trustedMs: undefined }), /is damaged; .*clock confirm/);
  match(messages({ trustedMs: undefined, confirmedBy: 7 }), /is damaged; /);
  match(messages(new SystemError('FAILED', '/box: no space')), /not known: \/box: no space; /);
});
