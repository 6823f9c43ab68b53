import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { countedTurns, keyedTurns, turns, type Turns } from '../../src/lib/mutex.ts';

/** Work that goes on until it is let go; `events` has who began and ended, in their order. */
function gatedWork() {
  const events: string[] = [];
  const gates = new Map<string, PromiseWithResolvers<void>>();
  const gateOf = (name: string): PromiseWithResolvers<void> => {
    if (!gates.has(name)) gates.set(name, Promise.withResolvers());
    return gates.get(name)!;
  };
  return {
    events,
    work: (name: string) => async (): Promise<string> => {
      events.push(`${name} begins`);
      await gateOf(name).promise;
      events.push(`${name} ends`);
      return name;
    },
    end: (name: string): void => gateOf(name).resolve(),
    fail: (name: string): void => gateOf(name).reject(new Error(`${name} failed`)),
  };
}

/** Every turn of the event loop that work without I/O could take. */
const quiet = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('one piece of work runs at a time, in the order of the calls', async () => {
  const { events, work, end } = gatedWork();
  const inTurn = turns();
  const all = ['a', 'b', 'c'].map((name) => inTurn(work(name)));
  for (const name of ['c', 'b']) end(name);
  await quiet();
  deepEqual(events, ['a begins']);
  end('a');
  deepEqual(await Promise.all(all), ['a', 'b', 'c']);
  deepEqual(
    events,
    ['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]),
  );
});

test('a failure reaches its own caller only, whatever the mutex', async () => {
  const kinds: Turns[] = [turns(), countedTurns(1), (work) => byKey('one', work)];
  const byKey = keyedTurns();
  for (const inTurn of kinds) {
    const { work, end, fail } = gatedWork();
    const [failing, next] = [inTurn(work('a')), inTurn(work('b'))];
    fail('a');
    end('b');
    await rejects(failing, /a failed/);
    equal(await next, 'b');
  }
});

test('work on one key waits for that key only', async () => {
  const { events, work, end } = gatedWork();
  const inTurn = keyedTurns();
  const [first, second] = [inTurn('x', work('a')), inTurn('x', work('b'))];
  const other = inTurn('y', work('c'));
  end('c');
  await other;
  deepEqual(events, ['a begins', 'c begins', 'c ends']);
  for (const name of ['a', 'b']) end(name);
  await Promise.all([first, second]);
  deepEqual(events.slice(3), ['a ends', 'b begins', 'b ends']);
});

test('of many at most so many run, and no later call overtakes one that waits', async () => {
  const { events, work, end } = gatedWork();
  const inTurn = countedTurns(2);
  const all = ['a', 'b', 'c', 'd'].map((name) => inTurn(work(name)));
  await quiet();
  deepEqual(events, ['a begins', 'b begins']);
  end('a');
  await all[0];
  // It comes at the very moment at which a place is free.
  const late = inTurn(work('e'));
  await quiet();
  deepEqual(events.slice(2), ['a ends', 'c begins']);
  for (const name of ['b', 'c', 'd', 'e']) end(name);
  deepEqual(await Promise.all([...all, late]), ['a', 'b', 'c', 'd', 'e']);
});
