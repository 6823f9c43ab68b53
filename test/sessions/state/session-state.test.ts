import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'tap';
import type { OwnPhase, SessionRecord } from '../../../src/formats/store/sessions/session.ts';
import { next, type SessionEvent, stepOf } from '../../../src/sessions/state/session-state.ts';
import { placedRecord } from '../../support/placed-session.ts';

const PHASES: readonly OwnPhase[] = ['preparing', 'ready', 'keeping', 'cleaning'];
const EVENTS: readonly SessionEvent[] = [
  { kind: 'done' },
  { kind: 'keep', as: 'p' },
  { kind: 'discard' },
  { kind: 'not kept' },
];

function session(phase: OwnPhase, keepAs?: string): SessionRecord {
  return {
    id: 's',
    created: '',
    set: 'set',
    point: 'p0',
    machine: 'vm',
    disks: [],
    listen: 'unix:/x',
    tls: false,
    nfs: undefined,
    whenFull: 'pause',
    phase,
    keepAs,
    sealed: undefined,
    placement: undefined,
  };
}

test('every phase answers every event', async () => {
  const table = PHASES.map((phase) =>
    EVENTS.map((event) => {
      try {
        return next(session(phase), event)?.phase ?? 'gone';
      } catch {
        return 'impossible';
      }
    }),
  );
  deepEqual(table, [
    ['ready', 'impossible', 'cleaning', 'impossible'],
    ['impossible', 'keeping', 'cleaning', 'impossible'],
    ['cleaning', 'keeping', 'cleaning', 'ready'],
    ['gone', 'impossible', 'cleaning', 'impossible'],
  ]);
  deepEqual(
    PHASES.map((phase) => stepOf(session(phase))),
    ['prepare', undefined, 'publish', 'clean'],
  );
});

test('an ID that was chosen stands; what was kept cannot be discarded, nor what was discarded kept', async () => {
  equal(next(session('keeping', 'first'), { kind: 'keep', as: 'second' })?.keepAs, 'first');
  equal(next(session('keeping', 'first'), { kind: 'discard' })?.keepAs, undefined);
  equal(next(session('keeping', 'first'), { kind: 'not kept' })?.keepAs, undefined);
  equal(next(session('cleaning', 'first'), { kind: 'discard' })?.keepAs, 'first');
  equal(next(session('cleaning', 'first'), { kind: 'keep', as: 'second' })?.keepAs, 'first');
  throws(() => next(session('cleaning'), { kind: 'keep', as: 'second' }), {
    code: 'IMPOSSIBLE',
    message: /being discarded/,
  });
  throws(() => next(session('ready'), { kind: 'done' }), { code: 'IMPOSSIBLE' });
});

test('while a hypervisor may use its disks, only what knows of hypervisors changes a session', async () => {
  const middle = [
    ...(['placing', 'running', 'copying', 'pivoting'] as const),
    ...(['settling', 'leaving', 'withdrawing'] as const),
  ];
  for (const phase of middle) {
    equal(stepOf(placedRecord(phase)), undefined);
    for (const event of EVENTS) {
      throws(() => next(placedRecord(phase), event), {
        code: 'IMPOSSIBLE',
        message: /a machine on hypervisor kvm1/,
      });
    }
  }
  equal(next(placedRecord('preparing'), { kind: 'done' })?.phase, 'placing');
  // Its machine was withdrawn.
  equal(next(placedRecord('keeping'), { kind: 'not kept' })?.phase, 'ready');
});
