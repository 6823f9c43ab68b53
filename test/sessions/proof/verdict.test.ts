import { equal, match, ok } from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'tap';
import { PROOF_STATES } from '../../../src/formats/store/catalog/proof-result.ts';
import { type Seen, verdictOf } from '../../../src/sessions/proof/verdict.ts';
import { anyText } from '../../support/any-machine.ts';

const NOTHING: Seen = {
  ...{ elapsedMs: 1000, timeoutMs: 600_000, serial: '', screen: { isBlank: true }, quietMs: 0 },
  ...{ agentAnswers: false, resets: 0, panicked: false, poweredOff: false },
  ...{ lost: undefined, ended: undefined, asked: [] },
};
const LATE = { elapsedMs: 600_000 };
const PORT = { name: 'port 80', hasPassed: false, detail: 'the guest refuses connections' };
const SCRIPT = { name: 'script db', hasPassed: false, detail: 'exit code 1', isOver: true };
const LOCKED = 'Please unlock disk sda3_crypt: ';
const PICTURE = { isBlank: false };
const QUIET = { quietMs: 120_000 };

const CASES: readonly (readonly [string, Partial<Seen>, string | undefined])[] = [
  ['nothing yet', {}, undefined],
  ['a login', { serial: 'web1 login: ' }, 'works'],
  ['a login on the screen', { screen: { isBlank: false, text: 'web1 login:' } }, 'works'],
  ['an agent', { agentAnswers: true }, 'works'],
  ['an agent while a check is open', { agentAnswers: true, asked: [PORT] }, undefined],
  ['all checks, and nothing else', { asked: [{ ...PORT, hasPassed: true }] }, 'works'],
  ['a check at the end', { ...LATE, agentAnswers: true, asked: [PORT] }, 'unhealthy'],
  ['a script that failed', { agentAnswers: true, asked: [SCRIPT] }, 'unhealthy'],
  ['a script that failed, without a sign', { asked: [SCRIPT] }, 'unhealthy'],
  ['lost data, and a script fails', { lost: 'block 1', asked: [SCRIPT] }, 'damaged'],
  ['a login that was seen once', { ...LATE, wasUp: 'login:', asked: [PORT] }, 'unhealthy'],
  ['a panic on the screen', { screen: { isBlank: false, text: 'panic: x' } }, 'panic'],
  ['a panic that the device reports', { panicked: true }, 'panic'],
  ['a panic after a login', { serial: 'web1 login: \nKernel panic - not syncing: x' }, 'panic'],
  ['an encrypted disk', { serial: LOCKED }, 'passphrase'],
  [
    'an encrypted disk that was expected',
    { serial: LOCKED, asked: [{ ...PORT, hasPassed: true }] },
    'works',
  ],
  ['one restart', { resets: 1 }, undefined],
  ['three restarts', { resets: 3 }, 'reboot-loop'],
  ['a guest that is off', { poweredOff: true }, 'powered-off'],
  ['a panic, then off', { poweredOff: true, panicked: true }, 'panic'],
  ['QEMU ended', { ended: 'exit code 1', serial: 'web1 login: ' }, 'qemu-ended'],
  ['lost data, and it comes up', { lost: 'block 1', serial: 'web1 login: ' }, 'damaged'],
  ['lost data, and no sign yet', { lost: 'block 1' }, undefined],
  [
    'lost data, and all checks pass',
    { lost: 'block 1', asked: [{ ...PORT, hasPassed: true }] },
    'damaged',
  ],
  ['lost data, then off', { lost: 'block 1', poweredOff: true }, 'damaged'],
  ['lost data, and restarts', { lost: 'block 1', resets: 3 }, 'damaged'],
  ['lost data that stops it', { lost: 'block 1', panicked: true }, 'damaged'],
  ['lost data, and no end', { ...LATE, lost: 'block 1' }, 'damaged'],
  ['nothing at all', LATE, 'hangs'],
  ['text that rests', { ...LATE, ...QUIET, serial: 'Loading initrd...' }, 'hangs'],
  ['text that changes', { ...LATE, serial: 'Loading initrd...' }, 'slow'],
  ['a picture that rests', { ...LATE, ...QUIET, screen: PICTURE }, 'unclear'],
  ['a picture that changes', { ...LATE, screen: PICTURE }, 'slow'],
];

for (const [name, seen, state] of CASES) {
  test(`${name}: ${state ?? 'not decided'}`, async () => {
    const verdict = verdictOf({ ...NOTHING, ...seen });
    equal(verdict?.state, state);
    if (verdict) match(verdict.reason, /^[A-Z].*\.$/s, 'a sentence');
  });
}

test('a verdict names what was seen, verbatim', async () => {
  const wanted = 'Kernel panic - not syncing: $& {} $1';
  match(verdictOf({ ...NOTHING, serial: wanted })!.reason, /not syncing: \$& \{\} \$1"/);
  const asked = [PORT, { ...PORT, name: 'port 22' }];
  const { reason } = verdictOf({ ...NOTHING, ...LATE, agentAnswers: true, asked })!;
  match(reason, /port 80 \(the guest refuses connections\), port 22/);
});

test('whatever is seen, there is a verdict in time, and success only with a reason', async () => {
  const seen = fc.record<Seen>({
    ...{ elapsedMs: fc.nat(1_200_000), timeoutMs: fc.constant(600_000), quietMs: fc.nat(200_000) },
    serial: anyText,
    screen: fc.record(
      { text: anyText, isBlank: fc.boolean() },
      { requiredKeys: ['isBlank'] },
    ) as fc.Arbitrary<Seen['screen']>,
    ...{ agentAnswers: fc.boolean(), panicked: fc.boolean(), poweredOff: fc.boolean() },
    resets: fc.nat(10),
    lost: fc.option(anyText, { nil: undefined }),
    ended: fc.option(anyText, { nil: undefined }),
    asked: fc.array(fc.record({ name: anyText, hasPassed: fc.boolean(), detail: anyText }), {
      maxLength: 3,
    }),
  });
  fc.assert(
    fc.property(seen, (it) => {
      const verdict = verdictOf(it);
      if (it.elapsedMs >= it.timeoutMs) ok(verdict, 'in time');
      if (!verdict) return;
      ok(PROOF_STATES.includes(verdict.state));
      if (verdict.state !== 'works') return;
      ok(it.ended === undefined && it.lost === undefined && !it.panicked);
      ok(it.asked.every(({ hasPassed }) => hasPassed));
    }),
  );
});
