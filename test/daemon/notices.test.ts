import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { notifySocket } from '../support/notify-socket.ts';
import { without } from '../support/programs.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const LAUNCHER = new URL('../../systemd/notify-launcher', import.meta.url).pathname;

/** What systemd does for `OpenFile=PATH:notify`, and for a socket unit, which it may put before it. */
const OPEN_FILE = `
  use Socket; use POSIX ();
  $^F = 1023;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
  connect($s, pack_sockaddr_un(delete $ENV{NOTIFY_SOCKET})) or die $!;
  open(my $null, "<", "/dev/null");
  POSIX::dup2(fileno $s, 10);
  POSIX::dup2(fileno $null, 3);
  POSIX::dup2(10, 4);
  @ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES)} = ($$, 2, "other:notify");
  exec @ARGV;`;

const skip = without('perl');
const directory = temporaryDirectory();
const image = join(directory, 'disk.raw');
makeRawDisk(image, 2 ** 20, 1);
const home = serviceHome(directory);

test('systemd hears when it is ready, what it does, that it lives and that it stops', {
  skip,
}, async () => {
  await (await serviceWith(home, image)).stop('SIGTERM');
  const path = join(directory, 'notify');
  await using socket = await notifySocket(path);
  const environment = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '400000' };
  await using service = await home.run({ launcher: ['perl', LAUNCHER], environment });
  match(await socket.next(/READY=1/), /^READY=1;STATUS=0 sessions run$/);
  ok(!/NOTIFY_SOCKET/.test(readFileSync(`/proc/${service.pid}/environ`, 'utf8')));

  const secret = ['--passphrase-file', home.passphrase];
  const started = await expectDone(home.holdfast('recover', 'vm@latest', '--detach', ...secret));
  await socket.next(/^STATUS=1 sessions run$/);
  let from = socket.heard.length;
  service.signal('SIGHUP');
  const reloading = await socket.next(/^RELOADING=1;MONOTONIC_USEC=\d+$/, from);
  const told = Number(reloading.split('=').at(-1)) / 1e6;
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  ok(Math.abs(uptime - told) < 30, `${told} s is not the monotonic clock's ${uptime} s`);
  await socket.next(/^READY=1;STATUS=1 sessions run$/, from);
  for (let n = 0; n < 3; n++) {
    from = socket.heard.length;
    await socket.next(/^WATCHDOG=1$/, from);
  }
  await expectDone(home.holdfast('session', 'stop', started.result['session'] as string));
  from = socket.heard.length;
  equal(await service.stop('SIGTERM'), 0);
  await socket.next(/^STOPPING=1$/, from);
});

test('a session that waits is in the status, and a start that hears of it is ready all the same', {
  skip,
}, async () => {
  const before = await home.run();
  await expectDone(home.holdfast('recover', 'vm@latest', '--detach'));
  await before.stop('SIGKILL');
  writeFileSync(home.settings, JSON.stringify({ store: home.store, socket: home.socket }));
  const path = join(directory, 'notify-2');
  await using socket = await notifySocket(path);
  const launcher = ['perl', '-e', OPEN_FILE];
  const ofAnother = { WATCHDOG_USEC: '50000', WATCHDOG_PID: '1' };
  await using service = await home.run({
    launcher,
    environment: { NOTIFY_SOCKET: path, ...ofAnother },
  });
  equal(await socket.next(/READY=1/), 'READY=1;STATUS=0 sessions run, 1 wait');
  equal(await service.stop('SIGTERM'), 0);
  await socket.next(/^STOPPING=1$/);
  deepEqual(
    socket.heard.filter((message) => /WATCHDOG/.test(message)),
    [],
    'the watchdog is for another process',
  );
});

test('without systemd it says nothing, and names of others are not ours', { skip }, async () => {
  const environment = { LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: 'notify' };
  await using service = await home.run({ environment });
  match(service.log(), /ready: /);
  equal(await service.stop('SIGTERM'), 0);
});
