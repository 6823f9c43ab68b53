import { deepEqual } from 'node:assert/strict';
import { test } from 'tap';
import { openFiles } from '../../../src/sys/files/open-files.ts';

const TICKS = 12;

test('a file that could not be opened once is open once, and closed, however those who want it meet', async () => {
  for (let second = 0; second < TICKS; second++) {
    for (let third = 0; third < TICKS; third++) {
      let opened = 0;
      let closed = 0;
      const files = openFiles<number, AsyncDisposable>(async () => {
        if (opened++ === 0) throw new Error('not yet');
        return { [Symbol.asyncDispose]: async () => void closed++ };
      }, 4);
      const use = async (ticks: number): Promise<void> => {
        for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
        await files.use(1, async () => {}).catch(() => {});
      };
      await Promise.all([use(0), use(second), use(third)]);
      await use(0);
      await files[Symbol.asyncDispose]();
      deepEqual([opened, closed], [2, 1], `after ${second} and ${third} turns`);
    }
  }
});
