import { equal, match, notEqual, ok } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import type { test as tapTest } from 'tap';
import type { DebianHost } from '../support/debian-host.ts';
import type { InstalledHost } from '../support/installed-host.ts';
import { noise } from '../support/random.ts';

/** What the service says and does that sees less than root; there is a recovery point of /srv/disk.raw. */
export function serviceAnswers(
  test: typeof tapTest,
  {
    skip,
    host,
    json,
  }: {
    readonly skip: string | boolean;
    readonly host: DebianHost | undefined;
    readonly json: InstalledHost['json'];
  },
): void {
  test('the service says what it does not see, and has a place where it may write', {
    skip,
  }, async () => {
    const { run, tryRun, path } = host!;
    for (const file of ['/root/web1.raw', '/tmp/web1.raw']) {
      writeFileSync(path(file), noise(2 ** 20, 2));
      const disk = ['--machine', 'web1', '--disk', `vda=${file}`];
      const { code, stderr } = await tryRun('holdfast', 'backup', 'create', 'nightly', ...disk);
      equal(code, 5);
      match(stderr, /the service cannot see what others see in \/(root|tmp): use another place/);
    }
    const restore = (to: string) =>
      tryRun('holdfast', 'restore', 'disk', 'vm@latest', 'vda', '--to', to);
    for (const to of ['/root/out.raw', '/tmp/out.raw', '/images.raw', '/srv/out.raw']) {
      const { code, stderr } = await restore(to);
      ok(code === 8 || code === 5, to);
      match(stderr, /the service (cannot see|may not write).*\/srv\/holdfast-disks/, to);
    }
    const images = ['restore', 'images', 'vm@latest', '--to', '/srv/holdfast-disks/none'];
    match((await tryRun('holdfast', ...images)).stderr, /make it \(install -d -o holdfast/);
    const done = await restore('/srv/holdfast-disks/out.raw');
    equal(done.code, 0, done.stderr);
    await run('cmp', '/srv/disk.raw', '/srv/holdfast-disks/out.raw');
  });

  test('commands say that the service is stopped, and how to start it', { skip }, async () => {
    const { run, tryRun } = host!;
    await run('systemctl', 'stop', 'holdfastd.socket', 'holdfastd.service');
    for (const words of [
      ['session', 'list'],
      ['job', 'list'],
      ['set', 'list'],
      ['service', 'show'],
    ]) {
      const { code, stderr } = await tryRun('holdfast', ...words);
      equal(code, 9, words.join(' '));
      match(stderr, /no service answers at .*: start it \("systemctl start holdfastd"\)/);
    }
    await run('systemctl', 'start', 'holdfastd.socket', 'holdfastd.service');
  });

  test('wrong settings are refused by reload, and keep the service from nothing', {
    skip,
  }, async () => {
    const { run, tryRun, path } = host!;
    const settings = path('/etc/holdfast/holdfastd.json');
    const before = readFileSync(settings);
    writeFileSync(settings, '{ "stroe": "/x" }');
    notEqual((await tryRun('systemctl', 'reload', 'holdfastd.service')).code, 0);
    await run('systemctl', 'restart', 'holdfastd.service');
    const { alarms } = (await json('holdfast', 'alarm', 'list')) as { alarms: { alarm: string }[] };
    equal(alarms.map(({ alarm }) => alarm).join(), 'settings');
    writeFileSync(settings, before);
    await run('systemctl', 'reload', 'holdfastd.service');
  });

  test('the memory of the box lies outside of the pool, and its key is a credential', {
    skip,
  }, async () => {
    const { run, tryRun } = host!;
    const modes = async (...files: string[]) => (await run('stat', '-c', '%U %a', ...files)).trim();
    const memory = '/var/lib/holdfast-box';
    equal(await modes('/etc/credstore/holdfast-box-key'), 'root 600');
    equal(await modes(memory, `${memory}/memory.json`), 'holdfast 700\nholdfast 600');
    notEqual((await tryRun('test', '-e', `${memory}/box.key`)).code, 0);
    const { alarms } = (await json('holdfast', 'alarm', 'list')) as { alarms: unknown[] };
    equal(alarms.length, 0);
    match(
      await run('cat', `${memory}/memory.json`),
      /"nightly":\{"domain":"[0-9a-f]{32}","encrypted":true\}/,
    );
  });

  test('a host without /srv has the service too', { skip }, async () => {
    const { run } = host!;
    await run('mv', '/srv', '/elsewhere');
    await run('systemctl', 'restart', 'holdfastd.service');
    await run('mv', '/elsewhere', '/srv');
    await run('systemctl', 'restart', 'holdfastd.service');
  });
}
