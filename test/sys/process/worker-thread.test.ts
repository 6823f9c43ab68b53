import { deepEqual, match } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { startWorker } from '../../../src/sys/process/worker-thread.ts';

/** All that is said of the end of a thread that runs `code`. */
async function failuresOf(code: string): Promise<string[]> {
  const thread = startWorker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {});
  const failures: string[] = [];
  await new Promise<void>((resolve) => {
    thread.onFailure = (error) => {
      failures.push(error.message);
      resolve();
    };
  });
  // For whatever else might be said.
  await sleep(100);
  return failures;
}

test('a thread that dies says so once, whatever it died of', async () => {
  deepEqual(await failuresOf('throw new Error("a flaw")'), ['a flaw']);
  const [ended, ...more] = await failuresOf('process.exit(3)');
  deepEqual([ended?.endsWith(' ended with code 3'), more], [true, []]);
});

test('a thread that is stopped has not failed', async () => {
  const thread = startWorker(new URL('data:text/javascript,setInterval(() => {}, 1000)'), {});
  const failures: Error[] = [];
  thread.onFailure = (error) => failures.push(error);
  await thread[Symbol.asyncDispose]();
  deepEqual(failures, []);
});

test('a thread that finds no room on the machine has failed like one that dies, and nothing is thrown', async () => {
  const refusal = Object.assign(new Error('EAGAIN'), { code: 'ERR_WORKER_INIT_FAILED' });
  const thread = startWorker(new URL('data:text/javascript,'), {}, () => {
    throw refusal;
  });
  const failure = await new Promise<Error>((resolve) => (thread.onFailure = resolve));
  match(failure.message, /no room for more processes or threads/);
  await thread[Symbol.asyncDispose]();
});
