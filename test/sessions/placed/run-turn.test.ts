import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'tap';
import type { Placement, RunGap } from '../../../src/formats/store/sessions/placement.ts';
import type { PlacedPhase } from '../../../src/formats/store/sessions/session.ts';
import { ranFrom, turnOf } from '../../../src/sessions/placed/run-turn.ts';
import { placedRecord } from '../../support/placed-session.ts';
import { machineIn, newLife, newPlace, placementIn, recordOf, rest, step } from './rig.ts';

const AT = '2026-11-30T08:00:00.000Z';
const DELAY: RunGap = { kind: 'delay', seconds: 60 };
const HEARTBEAT: RunGap = { kind: 'heartbeat', seconds: 60 };

/** What comes of the next machine, so many seconds after eight o'clock. */
function next(gap: RunGap, phase: PlacedPhase, placement: Partial<Placement>, seconds = 0) {
  const before = placedRecord(phase, placement);
  const run = { ...NEXT, gap, from: ranFrom({ gap }, before) };
  return turnOf(run, before, after(seconds)).kind;
}

const NEXT = { id: 'run-1', after: 'web1-aabbcc', isTurn: false, from: undefined };
const after = (seconds: number): Date => new Date(Date.parse(AT) + seconds * 1000);

const STUCK = { waits: { reason: 'person', since: AT, message: 'no network' } } as const;

test('after a delay: it counts from when the machine before was first seen to run', async () => {
  equal(next(DELAY, 'placing', {}), 'wait');
  equal(next(DELAY, 'running', { firstOn: AT }, 59), 'wait');
  equal(next(DELAY, 'running', { firstOn: AT }, 60), 'now');
  // Whatever has become of it since.
  for (const phase of ['copying', 'settling', 'withdrawing', 'cleaning'] as const) {
    equal(next(DELAY, phase, { firstOn: AT, ...STUCK }, 60), 'now');
  }
});

test('after a heartbeat: an agent that does not answer in time stops those after it', async () => {
  equal(next(HEARTBEAT, 'running', { firstOn: AT }, 60), 'wait');
  equal(next(HEARTBEAT, 'running', { firstOn: AT }, 61), 'stopped');
  equal(next(HEARTBEAT, 'running', { firstOn: AT, firstHeartbeat: AT }, 61), 'now');
});

test('a machine that does not start, or is withdrawn, stops those after it; one that waits does not', async () => {
  for (const gap of [DELAY, HEARTBEAT]) {
    equal(next(gap, 'placing', STUCK), 'stopped');
    equal(next(gap, 'withdrawing', {}), 'stopped');
    const away = { waits: { reason: 'away', since: AT, message: 'no route' } } as const;
    equal(next(gap, 'placing', away), 'wait');
    equal(turnOf({ ...NEXT, gap }, undefined, after(0)).kind, 'stopped');
  }
});

test('a machine that has moved has run: those after it start, also once its session is over', async () => {
  for (const gap of [DELAY, HEARTBEAT]) {
    for (const phase of ['leaving', 'cleaning'] as const) {
      equal(next(gap, phase, { goal: 'move', firstOn: AT }, 60), 'now');
      equal(next(gap, phase, { goal: 'discard' }, 60), phase === 'leaving' ? 'wait' : 'stopped');
    }
    equal(turnOf({ ...NEXT, gap, from: AT }, undefined, after(60)).kind, 'now');
  }
  equal(turnOf({ ...NEXT, gap: DELAY, from: AT }, undefined, after(59)).kind, 'wait');
  // What is remembered: of an agent that was not heard yet nothing, unless the machine is to stay there.
  const heard = ranFrom({ gap: HEARTBEAT }, placedRecord('running', { firstHeartbeat: AT }));
  const silent = ranFrom({ gap: HEARTBEAT }, placedRecord('running', { firstOn: AT }));
  const moving = ranFrom(
    { gap: HEARTBEAT },
    placedRecord('copying', { firstOn: AT, goal: 'move' }),
  );
  deepEqual([heard, silent, moving], [AT, undefined, AT]);
  equal(next(HEARTBEAT, 'copying', { firstOn: AT, goal: 'move' }, 61), 'stopped');
});

test('a session remembers that the machine before it ran, and starts its own when that session is over', async () => {
  const before = placedRecord('running', { firstOn: AT });
  const place = await newPlace({ run: { ...NEXT, after: before.id, gap: DELAY } });
  place.others.set(before.id, before);
  equal(await rest(place, newLife(place)), 'waits');
  place.others.delete(before.id);
  const life = newLife(place);
  deepEqual(await step(life), { kind: 'later', ms: 2000 });
  match(placementIn(place).waits!.message, /60 s after the one before it/);
  await place.clock.advance(60_000);
  while (recordOf(place).phase === 'placing') await step(life);
  equal(machineIn(place)?.power, 'on');
});

test('while it waits for its turn, a session asks nothing of its hypervisor', async () => {
  const before = placedRecord('placing');
  const place = await newPlace({ run: { ...NEXT, after: before.id, gap: DELAY } });
  place.others.set(before.id, before);
  const life = newLife(place);
  equal(await rest(place, life), 'waits');
  equal(placementIn(place).waits?.reason, 'turn');
  deepEqual([...new Set(life.effects)], ['prepare', 'journal']);
});

test('a session waits for its turn with nothing on the hypervisor, also in another process, then starts', async () => {
  const before = placedRecord('placing');
  const run = { ...NEXT, after: before.id, gap: DELAY };
  const place = await newPlace({ run });
  place.others.set(before.id, before);
  equal(await rest(place, newLife(place)), 'waits');
  deepEqual([recordOf(place).phase, placementIn(place).waits?.reason], ['placing', 'turn']);
  deepEqual([await place.rig.sessionTraces(), machineIn(place)], [[], undefined]);
  place.others.set(before.id, placedRecord('running', { firstOn: AT }));
  const life = newLife(place);
  deepEqual(await step(life), { kind: 'later', ms: 2000 });
  await place.clock.advance(60_000);
  while (recordOf(place).phase === 'placing') await step(life);
  equal(recordOf(place).phase, 'running');
  deepEqual([placementIn(place).run?.isTurn, placementIn(place).waits], [true, undefined]);
});

test('one that was stopped waits for a person, who lets it go on, or discards it', async () => {
  const run = { ...NEXT, after: 'web0-aabbcc', gap: DELAY };
  const place = await newPlace({ run });
  const life = newLife(place);
  equal(await rest(place, life), 'waits');
  const { waits } = placementIn(place);
  equal(waits?.reason, 'person');
  match(waits.message, /web0-aabbcc.* has ended\. To start this machine nevertheless/);
  await life.session.ask({ kind: 'retry' });
  while (recordOf(place).phase === 'placing') await step(life);
  equal(machineIn(place)?.power, 'on');
  const other = await newPlace({ run });
  const second = newLife(other);
  await rest(other, second);
  await second.session.ask({ kind: 'discard' });
  equal(await rest(other, second), 'over');
});
