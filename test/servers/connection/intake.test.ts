import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'tap';
import { turnOfLoop } from '../../../src/lib/turn-of-loop.ts';
import { openAccounts } from '../../../src/servers/connection/accounts.ts';
import { intake } from '../../../src/servers/connection/intake.ts';

/** Requests of one byte, of which some may be taken. */
function setUp() {
  const taken: number[] = [];
  const events: string[] = [];
  let left = 0;
  const requests = intake({
    parse(bytes) {
      let at = 0;
      while (at < bytes.length && requests.mayTake()) {
        const request = bytes[at++]!;
        left--;
        taken.push(request);
        if (request === 0) requests.end();
      }
      return at;
    },
    isStalled: () => left <= 0,
    flush: () => void events.push('flush'),
    pause: () => void events.push('pause'),
    resume: () => void events.push('resume'),
  });
  const allow = (more: number): void => {
    left += more;
    requests.goOn();
  };
  return { requests, taken, events, allow };
}

test('what may not be taken yet is kept in its order, and the peer waits until all of it was taken', async () => {
  const { requests, taken, events, allow } = setUp();
  allow(2);
  const lent = Uint8Array.from([1, 2, 3, 4]);
  requests.push(lent);
  lent.fill(9);
  deepEqual(taken, [1, 2]);
  deepEqual(events, ['flush', 'pause']);
  requests.push(Uint8Array.from([5]));
  allow(1);
  deepEqual(taken, [1, 2, 3]);
  allow(10);
  deepEqual(taken, [1, 2, 3, 4, 5]);
  deepEqual(events, ['flush', 'pause', 'flush', 'flush', 'resume']);
  requests.push(Uint8Array.from([6]));
  deepEqual(taken.at(-1), 6);
});

test('nothing is taken once it has ended, also in the middle of what came', async () => {
  const { requests, taken, events, allow } = setUp();
  allow(10);
  requests.push(Uint8Array.from([1, 0, 2, 3]));
  requests.push(Uint8Array.from([4]));
  allow(10);
  deepEqual(taken, [1, 0]);
  deepEqual(events, ['flush']);
});

test('what was kept is forgotten with the end', async () => {
  const { requests, taken, events, allow } = setUp();
  allow(1);
  requests.push(Uint8Array.from([1, 0, 2]));
  allow(1);
  deepEqual(taken, [1, 0]);
  deepEqual(events, ['flush', 'pause', 'flush']);
});

function accountsWith(limits: { runningMax: number; runningLengthMax: number }) {
  let unsent = 0;
  const events: string[] = [];
  const accounts = openAccounts({
    ...limits,
    unsent: () => unsent,
    flush: () => void events.push('flush'),
    onProgress: () => void events.push('progress'),
  });
  return { accounts, events, leave: (length: number) => void (unsent = length) };
}

test('a connection is full by requests, by their contents, or by what the peer has not taken', async () => {
  const { accounts, leave } = accountsWith({ runningMax: 2, runningLengthMax: 100 });
  const end = accounts.begin(100);
  equal(accounts.isFull(), false);
  const other = accounts.begin(0);
  equal(accounts.isFull(), true, 'two requests');
  other();
  equal(accounts.isFull(), false);
  end();
  const long = accounts.begin(101);
  equal(accounts.isFull(), true, 'contents');
  long();
  leave(2 ** 20 + 1);
  equal(accounts.isFull(), true, 'unsent');
});

test('replies of one turn go out together, in the next turn, and then the rest goes on', async () => {
  const { accounts, events } = accountsWith({ runningMax: 10, runningLengthMax: 100 });
  const ends = [accounts.begin(1), accounts.begin(1)];
  for (const end of ends) end();
  deepEqual(events, []);
  await turnOfLoop();
  deepEqual(events, ['flush', 'progress']);
});

test('a connection has finished once all is answered and sent, or its peer has gone', async () => {
  for (const way of ['sent', 'gone'] as const) {
    const { accounts, leave } = accountsWith({ runningMax: 10, runningLengthMax: 100 });
    const end = accounts.begin(1);
    let isDone = false;
    const done = accounts.finished().then(() => (isDone = true));
    leave(5);
    end();
    await turnOfLoop();
    accounts.onSent();
    await turnOfLoop();
    equal(isDone, false, way);
    leave(0);
    if (way === 'sent') accounts.onSent();
    else accounts.abandon();
    await done;
  }
});
