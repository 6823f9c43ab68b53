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
