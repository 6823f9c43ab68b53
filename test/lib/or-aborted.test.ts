import { getEventListeners } from 'node:events';
import { test } from 'tap';
import { orAborted } from '../../src/lib/or-aborted.ts';

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

test('work or an abort, whichever is first', async (t) => {
  const { signal } = new AbortController();
  t.equal(await orAborted(Promise.resolve(7), signal), 7);
  await t.rejects(orAborted(Promise.reject(new Error('broken')), signal), { message: 'broken' });
  t.equal(listeners(signal), 0, 'the signal may live long, and keeps nothing of it');
});

test('an abort ends the wait, and not the work', async (t) => {
  const controller = new AbortController();
  const work = Promise.withResolvers<void>();
  const waiting = orAborted(work.promise, controller.signal);
  controller.abort(new Error('gone'));
  await t.rejects(waiting, { message: 'gone' });
  t.equal(listeners(controller.signal), 0);
  // No caller waits any longer: this must not end the process.
  work.reject(new Error('later'));
});

test('after an abort nothing is waited for', async (t) => {
  const signal = AbortSignal.abort(new Error('gone'));
  await t.rejects(orAborted(Promise.resolve(7), signal), { message: 'gone' });
  await t.rejects(orAborted(Promise.reject(new Error('unheard')), signal), { message: 'gone' });
  t.equal(listeners(signal), 0);
});
