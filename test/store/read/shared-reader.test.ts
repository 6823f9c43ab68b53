import { equal, notEqual, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { BlockReader } from '../../../src/store/read/block-reader.ts';
import { sharedReader } from '../../../src/store/read/shared-reader.ts';

function countedReaders() {
  const closed: number[] = [];
  let opened = 0;
  async function open(): Promise<BlockReader> {
    const number = opened++;
    return {
      cacheLength: number,
      async [Symbol.asyncDispose]() {
        closed.push(number);
      },
    } as Partial<BlockReader> as BlockReader;
  }
  return { open, closed };
}

test('all who read at the same time share a reader, which is closed behind the last', async () => {
  const { open, closed } = countedReaders();
  const borrow = sharedReader(open);
  const [one, two] = await Promise.all([borrow(), borrow()]);
  equal(one.reader, two.reader);
  await one[Symbol.asyncDispose]();
  equal(closed.length, 0);
  const three = await borrow();
  equal(three.reader, two.reader);
  await two[Symbol.asyncDispose]();
  await three[Symbol.asyncDispose]();
  equal(closed.length, 1);
  const later = await borrow();
  notEqual(later.reader, one.reader);
});

test('where it cannot be opened the next one tries again', async () => {
  const { open } = countedReaders();
  let isBroken = true;
  const borrow = sharedReader(async () => {
    if (isBroken) throw new Error('no memory');
    return open();
  });
  await rejects(borrow(), /no memory/);
  isBroken = false;
  await borrow();
});
