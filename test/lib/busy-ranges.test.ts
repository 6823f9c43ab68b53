import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { busyRanges } from '../../src/lib/busy-ranges.ts';
import { rangeTurns } from '../../src/lib/range-lock.ts';

test('a range is busy until all that overlaps it has ended, and no neighbor counts', async () => {
  const busy = busyRanges();
  const endOne = busy.begin(10, 5);
  const endOther = busy.begin(12, 10);
  ok(busy.isBusy(14, 1) && busy.isBusy(0, 11) && busy.isBusy(21, 9));
  ok(!busy.isBusy(0, 10) && !busy.isBusy(22, 5));
  equal(busy.ended(0, 10), undefined);
  let isOver = false;
  const over = busy.ended(13, 1)!.then(() => (isOver = true));
  endOne();
  endOne();
  await new Promise((resolve) => setImmediate(resolve));
  ok(!isOver && busy.isBusy(13, 1) && !busy.isBusy(10, 2));
  endOther();
  await over;
  equal(busy.ended(0, 100), undefined);
});

test('overlapping turns run in the order in which they were asked for, and at once only where none is', async () => {
  const turns = rangeTurns();
  const order: string[] = [];
  const end = turns.tryBegin(0, 4)!;
  const first = turns.run(2, 4, async () => void order.push('first'));
  const second = turns.run(5, 1, async () => void order.push('second'));
  const apart = turns.run(20, 1, async () => void order.push('apart'));
  equal(turns.tryBegin(3, 1), undefined);
  equal(turns.tryBegin(5, 1), undefined, 'one that waits is not overtaken');
  await apart;
  order.push('end');
  end();
  await Promise.all([first, second]);
  deepEqual(order, ['apart', 'end', 'first', 'second']);
  turns.tryBegin(0, 100)!();
  await turns.run(0, 1, async () => Promise.reject(new Error('fails'))).catch(() => {});
  ok(turns.tryBegin(0, 1), 'one that failed has ended');
});
