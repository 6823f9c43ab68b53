import { equal } from 'node:assert/strict';
import { test } from 'tap';
import { startOwnProcess } from '../../../src/sys/process/own-process.ts';

const TALKING = new URL('../../support/talking-process.ts', import.meta.url);
const MESSAGES = 300;

test('a process that ends has been heard to its last word', async () => {
  const options = { descriptors: [], servesFiles: false };
  await using talking = await startOwnProcess<number, Uint8Array>(TALKING, options);
  let heard = 0;
  talking.onMessage = () => {
    // Slower than it speaks.
    const until = performance.now() + 1;
    while (performance.now() < until);
    heard++;
  };
  talking.post(MESSAGES);
  equal(await talking.ended, 'exit code 0');
  equal(heard, MESSAGES);
});

test('one that is killed has ended', async () => {
  const options = { descriptors: [], servesFiles: false };
  await using talking = await startOwnProcess<number, Uint8Array>(TALKING, options);
  talking.kill('SIGKILL');
  equal(await talking.ended, 'SIGKILL');
  equal(talking.isRunning, false);
});
