import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { isMissing, runTool, startTool } from '../../../src/sys/process/tool.ts';
import { without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { until } from '../../support/until.ts';

const skip = without('setpriv', 'prlimit', 'sh', 'sleep');
const MiB = 2 ** 20;

function isRunning(pid: number): boolean {
  const status = `/proc/${pid}/status`;
  return existsSync(status) && !/^State:\s+[ZX]/m.test(readFileSync(status, 'utf8'));
}

test('what a program prints, takes and ends with comes back', { skip }, async () => {
  const end = await runTool('sh', ['-c', 'cat; echo words >&2; exit 3'], { input: 'given' });
  deepEqual([end.code, end.stdout.toString(), end.stderr], [3, 'given', 'words\n']);
  equal(end.stopped, undefined);
});

test('a program that is not there is told from one that fails', { skip }, async () => {
  ok(isMissing(await runTool('no-such-program', [])));
  ok(!isMissing(await runTool('sh', ['-c', 'exit 127'])));
});

test('its language is not translated, whatever that of this process', { skip }, async () => {
  const { stdout } = await runTool('sh', ['-c', 'echo "$LC_ALL $EXTRA"; ulimit -c'], {
    environment: { EXTRA: 'more' },
  });
  equal(stdout.toString(), 'C.UTF-8 more\n0\n');
});

test('when its time is up it is killed with all that it has started', { skip }, async () => {
  const note = join(temporaryDirectory(), 'pid');
  const script = `sleep 600 & echo $! > ${note}; wait`;
  const end = await runTool('sh', ['-c', script], { timeoutMs: 500 });
  deepEqual([end.code, end.stopped], [undefined, 'timeout']);
  const child = Number(readFileSync(note, 'utf8'));
  await until('the end of the child', () => !isRunning(child));
});

test('one that says nothing is killed; one whose output is not read is not', { skip }, async () => {
  const silent = await runTool('sleep', ['600'], { idleMs: 200 });
  equal(silent.stopped, 'timeout');
  const script = 'head -c 1000000 /dev/zero';
  await using tool = await startTool('sh', ['-c', script], { idleMs: 1000 });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  let length = 0;
  for await (const part of tool.stdout) length += (part as Buffer).length;
  deepEqual([length, (await tool.ended).stopped], [1_000_000, undefined]);
});

test('a signal that was given before ends it, and so does one that comes later', {
  skip,
}, async () => {
  const before = await runTool('sleep', ['600'], { signal: AbortSignal.abort() });
  equal(before.stopped, 'aborted');
  const later = new AbortController();
  await using tool = await startTool('sleep', ['600'], { signal: later.signal });
  later.abort();
  equal((await tool.ended).stopped, 'aborted');
});

test('output without end is a failure, and takes bounded memory', { skip }, async () => {
  await rejects(runTool('sh', ['-c', 'cat /dev/zero']), { code: 'IO', message: /too much/ });
  const { stderr } = await runTool('sh', ['-c', 'head -c 1000000 /dev/zero | tr "\\0" x >&2']);
  equal(stderr.length, 64 * 1024);
});

test('a program has no more memory than it was given', { skip }, async () => {
  const script = 'x=$(head -c 200000000 /dev/zero | tr "\\0" x); echo ${#x}';
  const { code, stdout } = await runTool('sh', ['-c', script], { memoryMax: 64 * MiB });
  ok(code !== 0 || stdout.toString().trim() !== '200000000');
});

test('it is gone once it was disposed of', { skip }, async () => {
  const tool = await startTool('sleep', ['600']);
  ok(isRunning(tool.pid));
  await tool[Symbol.asyncDispose]();
  ok(!isRunning(tool.pid));
  match((await tool.ended).stopped ?? '', /killed/);
});
