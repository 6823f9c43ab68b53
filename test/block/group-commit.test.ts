import { deepEqual, equal, rejects, throws } from 'node:assert/strict';
import { test } from 'tap';
import { flushRounds } from '../../src/block/group-commit.ts';
import { SystemError } from '../../src/sys/base/system-error.ts';
import { below, seeded } from '../support/random.ts';

test('a flush resolves only once a round that began after it has ended', async () => {
  const random = seeded(1);
  const turns = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) await Promise.resolve();
  };
  let written = 0;
  let durable = 0;
  let running = 0;
  const rounds = flushRounds(async () => {
    equal(++running, 1, 'never two at once');
    const until = written;
    await turns(below(random, 12));
    durable = until;
    running--;
  });
  // Many in a row each: who is answered asks again at once, while others wait for the next round.
  async function writer(): Promise<void> {
    for (let n = 0; n < 200; n++) {
      const mine = ++written;
      await rounds.flush();
      equal(durable >= mine, true, `${mine} was acknowledged when ${durable} was durable`);
      await turns(below(random, 4));
    }
  }
  await Promise.all(Array.from({ length: 5 }, writer));
});

test('a round that failed is final, also for those who wait for the next one', async () => {
  const order: string[] = [];
  const rounds = flushRounds(async () => {
    order.push('round');
    await Promise.resolve();
    throw new SystemError('IO', 'broken');
  });
  const all = [rounds.flush(), rounds.flush(), rounds.flush()];
  for (const it of all) await rejects(it, { name: 'BlockError', code: 'IO' });
  await rejects(rounds.flush(), { code: 'IO' });
  throws(() => rounds.check(), { code: 'IO' });
  deepEqual(order, ['round'], 'it is not tried again');
});
