import { equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'tap';
import { sandboxProgram } from '../../../src/sys/sandbox/sandbox-program.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

/** What the first process of a sandbox makes of a script, here without a sandbox around it. */
async function ran(script: string) {
  const directory = temporaryDirectory();
  const [path, sockets] = [join(directory, 'script'), join(directory, 'ports')];
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  mkdirSync(sockets);
  const { node, directory: programs, name } = sandboxProgram();
  const child = spawn(node, [join(programs, name), path, sockets], {
    env: { ...process.env, TMPDIR: directory },
    // If it is in the script's group, that must not be the group of this test.
    detached: true,
  });
  const [output, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  return { code: code as number, output, errors };
}

test('a script can open the files that stand for its output, as many do to report errors', async () => {
  const { code, output } = await ran(
    'echo one >/dev/stderr; echo two >/dev/stdout; ls $TMPDIR; exit 3',
  );
  equal(output, 'one\ntwo\nports\nscript\n');
  equal(code, 3);
});

test('all that a script prints arrives before its end, and why it ended', async () => {
  const { code, output } = await ran('seq 100000; echo end; kill -9 $$');
  ok(output.startsWith('1\n2\n') && output.endsWith('100000\nend\nSIGKILL ended it\n'));
  equal(output.length, 588_895 + 'end\nSIGKILL ended it\n'.length);
  equal(code, 128);
});

test('a process that a script leaves behind does not delay its end', async () => {
  const begun = performance.now();
  // It has no output of the sandbox itself, only the script's.
  equal((await ran('sleep 20 & echo over')).output, 'over\n');
  ok(performance.now() - begun < 15_000);
});

test('a script that ends its own group, or signals the process before it, has its own result', async () => {
  for (const script of [
    "trap 'kill 0' EXIT; exit 3",
    'kill -9 0',
    'for it in TERM HUP INT PIPE; do kill -$it $PPID; done; exit 3',
    'echo "the script ended: 0" >&2; exit 3',
  ]) {
    const { code, errors } = await ran(script);
    const [begun, ended, ...more] = errors.trim().split('\n');
    equal(begun, 'the script begins');
    ok(ended === 'the script ended: 3' || ended === 'the script ended: 128', errors);
    equal(code, Number(ended.slice('the script ended: '.length)));
    equal(more.length, 0);
  }
});
