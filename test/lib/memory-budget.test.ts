import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { memoryBudget, type MemoryShare } from '../../src/lib/memory-budget.ts';

const MAX = 1024;
const OWN = 16;

/** Takes until it gets nothing. */
function fill(share: MemoryShare, length: number): number {
  let held = 0;
  for (let got = share.take(length); got > 0; got = share.take(length)) held += got;
  return held;
}

test('one that waits for ever leaves half of the memory to others', async () => {
  const budget = memoryBudget({ max: MAX, own: OWN });
  equal(fill(budget.join(), 8), MAX / 2);
  ok(fill(budget.join(), 8) >= MAX / 4);
});

test('however many wait, one that holds nothing gets something, and the sum has a bound', async () => {
  const budget = memoryBudget({ max: MAX, own: OWN });
  const shares = Array.from({ length: 100 }, () => budget.join());
  for (const share of shares) ok(fill(share, 100) >= OWN);
  ok(budget.held <= MAX + 100 * OWN, `${budget.held}`);
  const another = budget.join();
  const got = another.take(400);
  ok(got >= OWN && got < 400, `${got}`);
  equal(another.take(400), 0, 'it has something');
  another.give(got);
  ok(another.take(400) > 0);
});

test('who needs all at once waits for it, but not for what is its own', async () => {
  const budget = memoryBudget({ max: MAX, own: OWN });
  const [one, two, three] = [budget.join(), budget.join(), budget.join()];
  ok(one.takeAll(MAX));
  ok(!two.takeAll(OWN + 1));
  ok(two.takeAll(OWN));
  ok(!two.takeAll(1), 'it has its own');
  let isThere = false;
  const waited = three.all(MAX / 2).then(() => (isThere = true));
  two.give(OWN);
  await new Promise((resolve) => setImmediate(resolve));
  ok(!isThere);
  one.give(MAX);
  await waited;
  three.give(MAX / 2);
  await three.all(2 * MAX);
  equal(budget.held, 2 * MAX, 'more than there is: once no other has any');
});

test('what was given back is there again', async () => {
  const budget = memoryBudget({ max: MAX, own: OWN });
  const share = budget.join();
  equal(share.take(300), 300);
  share.give(300);
  equal(budget.held, 0);
  equal(share.take(512), 512);
});

test('one that must hold what it has is tight beyond its own and its part of what is free', async () => {
  const budget = memoryBudget({ max: MAX, own: OWN });
  const [one, other] = [budget.join(), budget.join()];
  one.hold(MAX / 4);
  equal(one.isTight, false);
  one.hold(MAX / 4 + 1);
  equal(one.isTight, true, 'the rest is for others');
  other.hold(OWN);
  equal(other.isTight, false, 'its own');
  equal(budget.held, MAX / 2 + 1 + OWN);
  one.give(MAX / 4);
  equal(one.isTight, false);
  other.hold(2 * MAX);
  equal(other.isTight && one.isTight, true);
});
