import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { Born } from '../../../../src/block/sealed/segments/birth.ts';
import { segmentSupply } from '../../../../src/block/sealed/segments/segment-supply.ts';
import type { Segment } from '../../../../src/block/sealed/segments/segments.ts';

async function turns(): Promise<void> {
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve));
}

/** Births that end on demand, one after the other. */
function births() {
  const begun: { done(): void; failed(): void }[] = [];
  let count = 0;
  function bear(): Promise<Born> {
    const number = ++count;
    const { promise, resolve, reject } = Promise.withResolvers<Born>();
    begun.push({
      done() {
        const segment = { number } as Segment;
        resolve({ segment, listed: new Set([number]) } as unknown as Born);
      },
      failed: () => reject(new Error(`birth ${number}`)),
    });
    return promise;
  }
  return { bear, begun };
}

test('one is made ahead, and two once the log was quicker than that', async () => {
  const { bear, begun } = births();
  const supply = segmentSupply(bear);
  const taken: number[] = [];
  const take = () => supply.take().then(({ segment }) => void taken.push(segment.number));
  void take();
  await turns();
  begun[0]!.done();
  await turns();
  equal(begun.length, 2, 'the next one is begun');
  begun[1]!.done();
  await turns();
  equal(begun.length, 2, 'one is enough');
  equal(supply.ahead, 1);
  await take();
  deepEqual(taken, [1, 2]);
  // Nothing is ready: it has to wait.
  void take();
  await turns();
  deepEqual(taken, [1, 2]);
  begun[2]!.done();
  await turns();
  deepEqual(taken, [1, 2, 3]);
  for (let n = 3; n < begun.length && n < 9; n++) {
    begun[n]!.done();
    await turns();
  }
  equal(begun.length, 5, 'two are ahead now');
  equal(supply.ahead, 2);
  deepEqual([...supply.listed], [5]);
});

test('a birth that fails is another try for the one who needs it, and its failure is its own', async () => {
  const { bear, begun } = births();
  const supply = segmentSupply(bear);
  const first = supply.take();
  await turns();
  begun[0]!.done();
  await first;
  // The one that is made ahead fails, and no one needs it yet.
  begun[1]!.failed();
  await turns();
  equal(begun.length, 2);
  const second = supply.take();
  await turns();
  begun[2]!.failed();
  await rejects(second, { message: 'birth 3' });
  const third = supply.take();
  await turns();
  begun[3]!.done();
  equal((await third).segment.number, 4);
  const settled = supply.settled();
  begun[4]!.done();
  await settled;
  await turns();
  equal(begun.length, 5, 'a settled supply makes no others');
});
