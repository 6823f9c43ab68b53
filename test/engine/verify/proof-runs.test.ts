import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { type ProofNeeds, proofRuns } from '../../../src/engine/verify/proof-runs.ts';
import { fakeClock } from '../../support/fake-clock.ts';

const GIB = 2 ** 30;
const SMALL = { memoryBytes: GIB, processors: 1 };

function opened(budget: ProofNeeds = { memoryBytes: 4 * GIB, processors: 3 }) {
  const clock = fakeClock('2026-11-30T02:00:00Z');
  const state = { recoveries: 0, budget };
  const runs = proofRuns({
    ...{ clock, budget: () => state.budget, recoveries: () => state.recoveries },
  });
  const log: string[] = [];
  const stop = new AbortController();
  /** A boot that ends when it is told. */
  function boot(name: string, needs: ProofNeeds = SMALL) {
    let end: (() => void) | undefined;
    const result = runs.run(
      (signal) => {
        log.push(`${name} begins`);
        return new Promise<string>((resolve, reject) => {
          end = () => resolve(name);
          signal.addEventListener('abort', () => {
            log.push(`${name} is ended`);
            reject(new Error('QEMU was ended'));
          });
        });
      },
      { needs, signal: stop.signal, onWait: () => log.push(`${name} waits`) },
    );
    return { result, end: () => end!() };
  }
  const logged = async (ms = 1500): Promise<readonly string[]> => {
    await clock.advance(ms);
    return log.splice(0);
  };
  return { clock, state, boot, logged, stop };
}

test('as many run at once as memory and processors allow, in order, and a large one runs alone', async () => {
  const { boot, logged } = opened();
  const a = boot('a');
  const b = boot('b', { memoryBytes: 3 * GIB, processors: 1 });
  const c = boot('c');
  const huge = boot('huge', { memoryBytes: 64 * GIB, processors: 64 });
  const d = boot('d');
  deepEqual(await logged(), ['a begins', 'b begins'], 'the memory is used up');
  a.end();
  equal(await a.result, 'a');
  deepEqual(await logged(), ['c begins']);
  b.end();
  deepEqual(await logged(), [], 'the large one comes before those that came later');
  c.end();
  deepEqual(await logged(), ['huge begins']);
  huge.end();
  deepEqual(await logged(), ['d begins']);
  d.end();
  await d.result;
});

test('processors count too', async () => {
  const { boot, logged } = opened({ memoryBytes: 100 * GIB, processors: 3 });
  const all = ['a', 'b', 'c', 'd'].map((name) => boot(name));
  deepEqual(await logged(), ['a begins', 'b begins', 'c begins']);
  all[1]!.end();
  deepEqual(await logged(), ['d begins']);
  for (const it of all) it.end();
  await Promise.all(all.map(({ result }) => result));
});

test('a recovery ends boots that are under way, and they are repeated once it is over', async () => {
  const { boot, logged, state } = opened();
  const a = boot('a');
  deepEqual(await logged(), ['a begins']);
  state.recoveries = 1;
  const b = boot('b');
  deepEqual((await logged()).toSorted(), ['a is ended', 'a waits', 'b waits']);
  deepEqual(await logged(3_600_000), [], 'for as long as it takes');
  state.recoveries = 0;
  deepEqual((await logged()).toSorted(), ['a begins', 'b begins']);
  a.end();
  b.end();
  deepEqual(await Promise.all([a.result, b.result]), ['a', 'b']);
});

test('who cancels a proof does not wait for it, whether it runs or waits', async () => {
  const { boot, logged, state, stop } = opened();
  const a = boot('a');
  await logged();
  const b = boot('b', { memoryBytes: 4 * GIB, processors: 1 });
  await logged();
  stop.abort(new Error('canceled'));
  await rejects(a.result, /QEMU was ended/);
  await rejects(b.result, /canceled/);
  state.recoveries = 1;
  deepEqual(await logged(), ['a is ended']);
});
