import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { expectDone, holdfastIn } from '../support/cli.ts';
import { noise } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const MiB = 2 ** 20;
const root = temporaryDirectory();
const { holdfast, backUp, store, passphrase } = await holdfastIn(root);
const image = join(root, 'disk.raw');
writeFileSync(image, noise(48 * MiB, 77));
await expectDone(backUp('vm', [`vda=${image}`]));
const words = ['restore', 'disk', 'vm@latest', 'vda', '--to'];

// F13
test('a restore whose terminal hangs up leaves nothing behind', async () => {
  const to = join(root, 'hung-up');
  mkdirSync(to);
  const key = ['--store', store, '--passphrase-file', passphrase];
  const child = spawn(process.execPath, [MAIN, ...words, join(to, 'out.raw'), ...key]);
  const closed = once(child, 'close');
  while (readdirSync(to).length === 0) await sleep(1);
  // The signal comes while it writes, however fast that is.
  child.kill('SIGSTOP');
  child.kill('SIGHUP');
  child.kill('SIGCONT');
  deepEqual(await closed, [130, null]);
  deepEqual(readdirSync(to), []);
});

// U5, F6
test('a name that promises another format, and what is no file, is refused', async () => {
  const named = await holdfast(...words, join(root, 'out.vhdx'), '--format', 'raw');
  equal(named.code, 2);
  match(named.stderr, /named like vhdx, and --format says raw: give --format vhdx/);
  ok(!existsSync(join(root, 'out.vhdx')));
  const directory = await holdfast(...words, root, '--overwrite');
  equal(directory.code, 1);
  match(directory.stderr, /is a directory: name a file in it/);
  const nowhere = await holdfast(...words, join(root, 'no', 'out.raw'));
  equal(nowhere.code, 5);
  match(nowhere.stderr, /there is no directory/);
});
