import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { programStream } from '../../../src/sys/net/program-stream.ts';
import { without } from '../../support/programs.ts';

const skip = without('setpriv', 'prlimit', 'cat', 'sh');

test('what is written is the input of a program, and what it prints is received', {
  skip,
}, async () => {
  const stream = await programStream('cat', []);
  const parts: Uint8Array[] = [];
  stream.onBytes = (bytes) => parts.push(Buffer.from(bytes));
  const closed = new Promise((resolve) => (stream.onClose = resolve));
  stream.start();
  await new Promise<void>((sent) => stream.write(Buffer.from('there and '), sent));
  stream.write(Buffer.from('back'));
  stream.end();
  equal(await closed, undefined);
  equal(Buffer.concat(parts).toString(), 'there and back');
  equal((await stream.ended).code, 0);
});

test('nothing is lost that a program prints before it is listened to', { skip }, async () => {
  const stream = await programStream('sh', ['-c', 'echo early; echo why >&2; exit 3']);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const parts: Uint8Array[] = [];
  stream.onBytes = (bytes) => parts.push(Buffer.from(bytes));
  stream.start();
  const { code, stderr } = await stream.ended;
  deepEqual([code, stderr, Buffer.concat(parts).toString()], [3, 'why\n', 'early\n']);
});

test('a program goes with its stream, and what is written then is dropped', { skip }, async () => {
  const stream = await programStream('cat', []);
  stream.start();
  stream.destroy();
  equal((await stream.ended).stopped, 'killed');
  stream.write(Buffer.from('late'));
  await rejects(
    programStream('/no/such/program', [])
      .then(({ ended }) => ended)
      .then(fail),
  );
});

function fail({ code, stderr }: { readonly code: number | undefined; readonly stderr: string }) {
  throw new Error(`${code}: ${stderr}`);
}
