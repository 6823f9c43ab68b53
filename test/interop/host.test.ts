import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { test } from 'tap';
import { debianHost, debianHostMissing } from '../support/debian-host.ts';
import { loopDisk, nameDisk } from '../support/loop-disk.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until as eventually } from '../support/until.ts';
import { scriptSandbox } from './script-sandbox.ts';

// What is set on the machine itself, on one of its own: nothing of it touches this one.

const skip = debianHostMissing;
const directory = temporaryDirectory();
/** A disk for it: the name of a loop device. */
const loop = skip === false ? loopDisk(directory) : undefined;
const host = skip === false ? await debianHost(directory, loop) : undefined;
const PENDING = '/var/lib/holdfast-host/network-pending.json';
/** Two wires, each to an interface of its own without a configuration. */
const WIRES = ['v0', 'v1'].map(
  (name) => `[NetDev]\nName=${name}\nKind=veth\n[Peer]\nName=${name}p\n`,
);

interface Shown {
  readonly interfaces: readonly {
    readonly name: string;
    readonly managedBy: string;
    readonly addresses: readonly { readonly address: string; readonly from: string }[];
  }[];
  readonly routes: readonly { readonly to: string; readonly via: string | null }[];
  readonly dns: readonly string[];
  readonly pending: { readonly secondsLeft: number } | null;
}

const network = (...words: string[]) => host!.run('holdfast', 'network', ...words);
const refused = async (...words: string[]) => (await host!.tryRun('holdfast', ...words)).stderr;
const show = async () => JSON.parse(await network('show', '--json')) as Shown;

/** The addresses that were set. */
async function addresses(name: string): Promise<string[]> {
  const found = (await show()).interfaces.find((it) => it.name === name);
  return (found?.addresses ?? []).filter(({ from }) => from === 'fixed').map((it) => it.address);
}

const until = (what: string, isSo: () => Promise<boolean>): Promise<void> =>
  eventually(what, isSo, () => host!.run('journalctl', '--no-pager', '-n', '80'));

/** Kills all of Holdfast at once, so that no process of it can roll the change back. */
async function killAll(): Promise<void> {
  await host!.run('systemctl', 'kill', '--signal=KILL', 'holdfastd.service');
  await host!.tryRun('systemctl', 'kill', '--signal=KILL', 'holdfast-hostd.service');
}

test('a host whose network others set up is left alone, and told how to hand it over', {
  skip,
}, async () => {
  const { run, tryRun, path } = host!;
  // As an earlier version left it, with which a restart of networkd did the half of a rollback.
  const wants = '/etc/systemd/system/systemd-networkd.service.wants';
  await run('mkdir', '-p', wants);
  const boot = 'holdfast-network-boot.service';
  await run('ln', '-s', `/usr/lib/systemd/system/${boot}`, `${wants}/${boot}`);
  await run('sh', `${process.cwd()}/appliance/install`, '--offline', '--ssh');
  equal((await tryRun('test', '-L', `${wants}/${boot}`)).code, 1);
  equal((await run('systemctl', 'is-enabled', boot)).trim(), 'enabled');
  const change = ['network', 'change', 'v0', '--address', '10.9.0.5/24'];
  match(await refused(...change), /systemd-networkd does not configure .*systemctl enable --now/);
  for (const [at, wire] of WIRES.entries()) {
    writeFileSync(path(`/etc/systemd/network/50-wire${at}.netdev`), wire);
  }
  // It waits two minutes for wires that lead nowhere.
  await run('systemctl', 'mask', 'systemd-networkd-wait-online.service');
  await run('systemctl', 'enable', '--now', 'systemd-networkd.service');
  await until('wired', async () => (await show()).interfaces.length === 4);
  await run('mkdir', '-p', '/etc/network');
  writeFileSync(path('/etc/network/interfaces'), 'iface v0 inet dhcp\n');
  match(await refused(...change), /v0 is configured in \/etc\/network\/interfaces/);
  await run('rm', '/etc/network/interfaces');
});

test('what cannot be is refused before anything is touched', {
  skip,
}, async () => {
  for (const [words, why] of [
    [['v7', '--dhcp'], /v7 does not exist: this host has v0, v0p, v1, v1p/],
    [['../x', '--dhcp'], /name: not the name of an interface/],
    [['v0.5', '--vlan', '5', '--on', 'v0', '--dhcp'], /configure v0 first/],
  ] as const) {
    match(await refused('network', 'change', ...words), why);
  }
  equal(await host!.run('ls', '/etc/systemd/network'), '50-wire0.netdev\n50-wire1.netdev\n');
  const socket = '/run/holdfast-host/hostd.sock';
  equal((await host!.run('stat', '-c', '%U %a', socket)).trim(), 'holdfast 600');
});

test('a change is in force at once and stays once it is confirmed; nothing of the old is left', {
  skip,
}, async () => {
  const { run } = host!;
  for (const name of ['v0', 'v0p']) await run('ip', 'link', 'set', name, 'up');
  // Somebody's address, set by hand.
  await run('ip', 'address', 'add', '10.7.0.1/24', 'dev', 'v0');
  const fixed = ['--gateway', '10.9.0.1', '--dns', '10.9.0.2', '--domain', 'example.org'];
  await network('change', 'v0', '--address', '10.9.0.5/24', ...fixed);
  match(await refused('network', 'change', 'v0', '--dhcp'), /is not confirmed yet/);
  await network('confirm');
  const shown = await show();
  deepEqual(await addresses('v0'), ['10.9.0.5/24']);
  deepEqual(
    shown.routes.filter(({ to }) => to === 'default').map(({ via }) => via),
    ['10.9.0.1'],
  );
  deepEqual(shown.dns, ['10.9.0.2']);
  equal(shown.interfaces.find(({ name }) => name === 'v0')?.managedBy, 'holdfast');
  match(await refused('network', 'confirm'), /no change is pending/);
  equal((await host!.tryRun('systemctl', 'is-active', 'holdfast-network-revert.timer')).code, 3);
  const tried = await host!.tryRun('holdfast', 'network', 'test', '10.9.0.5');
  match(tried.stdout, /FAILED {2}gateway 10\.9\.0\.1: does not answer/);
  match(tried.stdout, /ok {6}host 10\.9\.0\.5: answers after/);
  equal(tried.code, 1);
});

test('without a confirmation it is rolled back by itself, although all of Holdfast was killed', {
  skip,
}, async () => {
  const words = ['--address', '10.9.1.5/24', '--address', 'FD00:0::5/64'];
  await network('change', 'v0', ...words, '--within', '5');
  deepEqual(await addresses('v0'), ['10.9.1.5/24', 'fd00::5/64']);
  ok((await show()).pending!.secondsLeft <= 5);
  await killAll();
  await until('rolled back', async () => !existsSync(host!.path(PENDING)));
  deepEqual(await addresses('v0'), ['10.9.0.5/24']);
  equal(
    (await show()).routes.some(({ via }) => via === '10.9.0.1'),
    true,
  );
});

test('VLANs and bonds come and go; where the kernel has none, all is as before', {
  skip,
}, async () => {
  const { run, tryRun } = host!;
  const made = async (name: string) => (await tryRun('ip', 'link', 'show', name)).code === 0;
  for (const [name, type, words] of [
    [
      'v0.5',
      ['link', 'v0', 'name', 'probe', 'type', 'vlan', 'id', '99'],
      ['--vlan', '5', '--on', 'v0'],
    ],
    ['bond0', ['name', 'probe', 'type', 'bond'], ['--bond', 'v1', '--bond', 'v1p']],
  ] as const) {
    const isThere = (await tryRun('ip', 'link', 'add', ...type)).code === 0;
    if (isThere) await run('ip', 'link', 'delete', 'probe');
    // What is said and put back is the same for both.
    else if (name === 'bond0') continue;
    const change = ['network', 'change', name, ...words, '--address', '10.5.0.5/24'] as const;
    if (isThere) {
      await host!.run('holdfast', ...change);
      await network('confirm');
      deepEqual(await addresses(name), ['10.5.0.5/24']);
      await network('remove', name);
      await network('confirm');
    } else match(await refused(...change), new RegExp(`${name} could not be created`));
    equal(await made(name), false);
    equal((await show()).pending, null);
  }
  await until('as before', async () => (await addresses('v0')).join() === '10.9.0.5/24');
  const log = await run('journalctl', '-u', 'systemd-networkd', '-o', 'cat', '--no-pager');
  ok(!/unknown key|unknown section|failed to parse|ignoring/i.test(log), log);
});

test('an address comes by DHCP', { skip }, async () => {
  const { path } = host!;
  const server = '[Match]\nName=v1p\n[Network]\nAddress=10.8.0.1/24\nDHCPServer=yes\n';
  writeFileSync(path('/etc/systemd/network/20-server.network'), server);
  await network('change', 'v1', '--dhcp');
  await network('confirm');
  const v1 = async () => (await show()).interfaces.find(({ name }) => name === 'v1')!;
  await until('given', async () => (await v1()).addresses.some(({ from }) => from === 'dhcp'));
  equal((await v1()).managedBy, 'holdfast');
  match(
    await refused('network', 'change', 'v9', '--vlan', '7', '--on', 'v2', '--off'),
    /configure v2/,
  );
  await network('remove', 'v1');
  await network('confirm');
  await until('taken', async () => (await v1()).addresses.every(({ from }) => from === 'link'));
});

test('an unconfirmed change does not survive a power cut', { skip }, async () => {
  await network('change', 'v0', '--address', '10.9.2.5/24');
  deepEqual(await addresses('v0'), ['10.9.2.5/24']);
  await host!.restart('power cut');
  ok(!existsSync(host!.path(PENDING)));
  await host!.run('ip', 'link', 'set', 'v0p', 'up');
  await until('as before', async () => (await addresses('v0')).join() === '10.9.0.5/24');
});

test('addresses that were set by hand come back where a first change is not confirmed', {
  skip,
}, async () => {
  const { run } = host!;
  for (const name of ['v1', 'v1p']) await run('ip', 'link', 'set', name, 'up');
  await run('ip', 'address', 'add', '10.7.0.1/24', 'dev', 'v1');
  await network('change', 'v1', '--address', '10.4.0.5/24');
  deepEqual(await addresses('v1'), ['10.4.0.5/24']);
  await network('revert');
  deepEqual(await addresses('v1'), ['10.7.0.1/24']);
});

test('networkd that starts again before a change is confirmed undoes no part of it', {
  skip,
}, async () => {
  await network('change', 'v1', '--address', '10.4.0.5/24', '--within', '10');
  await host!.run('systemctl', 'restart', 'systemd-networkd.service');
  await until('there again', async () => (await addresses('v1')).join() === '10.4.0.5/24');
  ok(existsSync(host!.path(PENDING)));
  await until('rolled back', async () => !existsSync(host!.path(PENDING)));
  await until('as before', async () => (await addresses('v1')).join() === '10.7.0.1/24');
});

test('name, time zone, time servers and keyboard are set, or nothing is', { skip }, async () => {
  const { run } = host!;
  const wrong = ['host', 'set', '--hostname', 'box9', '--timezone', 'Europe/Nowhere'];
  match(await refused(...wrong), /there is no time zone/);
  const before = JSON.parse(await run('holdfast', 'host', 'show', '--json')) as {
    hostname: string;
  };
  ok(before.hostname !== 'box9');
  match(await refused('host', 'set', '--hostname', '-x'), /is not a host name|ambiguous/);
  match(await refused('host', 'set', '--keyboard', 'zz'), /no keyboard layout "zz"/);
  const words = ['--hostname', 'box9', '--timezone', 'Europe/Zurich', '--keyboard', 'ch'];
  await run('holdfast', 'host', 'set', ...words, '--ntp', 'ntp.example.org', '--ntp', '10.9.0.3');
  const after = JSON.parse(await run('holdfast', 'host', 'show', '--json')) as object;
  deepEqual(
    { ...after, system: '', kernel: '' },
    {
      ...{ hostname: 'box9', timezone: 'Europe/Zurich', keyboard: 'ch', system: '', kernel: '' },
      ...{ ntp: ['ntp.example.org', '10.9.0.3'], isSynchronized: false, hasPassword: false },
      isFirstBoot: false,
    },
  );
  equal((await run('hostname')).trim(), 'box9');
  equal((await run('readlink', '/etc/localtime')).trim(), '../usr/share/zoneinfo/Europe/Zurich');
  equal(
    await run('cat', '/etc/systemd/timesyncd.conf.d/10-holdfast.conf'),
    '[Time]\nNTP=ntp.example.org 10.9.0.3\n',
  );
  match(await run('cat', '/etc/default/keyboard'), /^XKBLAYOUT="ch"$/m);
});

test('the administrator has no password until one is set, which is never shown', {
  skip,
}, async () => {
  const { run, tryRun, path } = host!;
  const set = async (password: string) => {
    writeFileSync(path('/root/password'), `${password}\n`, { mode: 0o600 });
    return tryRun('holdfast', 'host', 'password', '--passphrase-file', '/root/password');
  };
  match((await set('too short')).stderr, /at least 10 characters/);
  equal((await set('correct horse:9')).code, 0);
  const shadow = /^admin:([^:]*):/m.exec(await run('cat', '/etc/shadow'))![1]!;
  match(shadow, /^\$y\$/);
  const check = 'print crypt($ARGV[0], $ARGV[1]) eq $ARGV[1] ? "same" : "other"';
  equal(await run('perl', '-e', check, 'correct horse:9', shadow), 'same');
  ok(!(await run('journalctl', '--no-pager')).includes('correct horse'));
});

test('keys come and go; SSH ends at its time, also if the machine was off then', {
  skip,
}, async () => {
  const { run, tryRun } = host!;
  await run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'ann', '-f', '/root/key');
  match(await refused('ssh', 'key', 'add', 'ssh-ed25519 AAAA'), /refuses a key/);
  const option = `command="id" ${await run('cat', '/root/key.pub')}`;
  match(await refused('ssh', 'key', 'add', option), /without options before it/);
  await run('holdfast', 'ssh', 'key', 'add', '--file', '/root/key.pub');
  match(await refused('ssh', 'key', 'add', '--file', '/root/key.pub'), /already/);
  const [, print] = /(SHA256:\S+)/.exec(await run('ssh-keygen', '-lf', '/root/key.pub'))!;
  ok((await run('holdfast', 'ssh', 'key', 'list')).includes(`admin  ${print!}`));
  const quiet = ['-o', 'StrictHostKeyChecking=no', '-o', 'BatchMode=yes'];
  const ssh = ['ssh', '-n', '-i', '/root/key', ...quiet];
  const come = (...words: string[]) => tryRun(...(ssh as [string]), 'admin@127.0.0.1', ...words);
  match((await come('holdfast', 'host', 'show')).stdout, /name +box9/);
  await run('holdfast', 'ssh', 'shell', '--for', '30m');
  equal((await come('shell')).code, 0);
  await run('holdfast', 'ssh', 'shell', '--off');
  equal((await come('shell')).code, 2);
  match(await run('holdfast', 'ssh', 'on', '--for', '4h'), /ssh +on until 20/);
  const over = Math.floor(Date.now() / 1000) - 5;
  const time = new Date(over * 1000).toISOString().slice(0, 19).replace('T', ' ');
  const timer = `# ${over}\n[Timer]\nOnCalendar=${time} UTC\n`;
  // As if the machine had been off at that time: it was last awake before.
  writeFileSync(host!.path('/etc/systemd/system/holdfast-ssh-off.timer.d/until.conf'), timer);
  await run('touch', '-d', '2 hours ago', '/var/lib/systemd/timers/stamp-holdfast-ssh-off.timer');
  await run('systemctl', 'daemon-reload');
  await run('systemctl', 'restart', 'holdfast-ssh-off.timer');
  const isOn = async () => (await tryRun('systemctl', 'is-active', 'ssh.service')).code === 0;
  await until('off', async () => !(await isOn()));
  equal((await tryRun('systemctl', 'is-enabled', 'ssh.service')).code, 1);
  // systemd's socket lets people in as well.
  const socket = async (asked: string) => (await tryRun('systemctl', asked, 'ssh.socket')).code;
  for (const off of ['holdfast ssh off', 'systemctl start holdfast-ssh-off.service']) {
    await run('systemctl', 'enable', '--now', 'ssh.socket');
    match(await run('holdfast', 'ssh', 'show'), /ssh +on/);
    await run('sh', '-c', off);
    await until('closed', async () => (await socket('is-active')) !== 0);
    ok((await socket('is-enabled')) !== 0);
  }
  await run('systemctl', 'enable', '--now', 'ssh.service');
  await run('holdfast', 'ssh', 'key', 'remove', print!);
  equal((await come('holdfast', 'host', 'show')).code, 255);
});

test('a disk becomes the pool only if it is empty, or by its name; the service finds it, and a restart keeps it', {
  skip: skip || (loop === undefined && 'this machine has no loop devices'),
}, async () => {
  const { run, tryRun } = host!;
  const disks = await run('holdfast', 'disk', 'list');
  match(disks, new RegExp(`${loop!} +512\\.0 MiB .* nothing `));
  await run('mkfs.ext4', '-q', '-F', '-L', 'keep', `/dev/${loop!}`);
  const create = ['pool', 'create', '--disk', loop!];
  match(await refused(...create), new RegExp(`is not empty: ext4.*erase: ${loop!}`));
  match(await refused(...create, '--erase', 'sdz'), /is not empty/);
  match(await refused('pool', 'create', '--disk', '../etc'), /there is no disk/);
  await nameDisk(host!, loop!);
  await run('holdfast', ...create, '--erase', loop!);
  match(
    await run('findmnt', '-no', 'SOURCE,FSTYPE', '/var/lib/holdfast'),
    new RegExp(`${loop!} xfs`),
  );
  await run('holdfast', 'store', 'create');
  equal(
    (await run('stat', '-c', '%U %m', '/var/lib/holdfast/store')).trim(),
    'holdfast /var/lib/holdfast',
  );
  match(await refused(...create, '--erase', loop!), /is in use/);
  await network('change', 'v0', '--address', '10.9.2.5/24');
  await host!.restart('reboot');
  await run('ip', 'link', 'set', 'v0p', 'up');
  await until('as before', async () => (await addresses('v0')).join() === '10.9.0.5/24');
  // Not there: nothing is written beside it.
  equal((await tryRun('systemctl', 'is-active', 'holdfastd.service')).code, 3);
  equal((await tryRun('test', '-e', '/var/lib/holdfast/store')).code, 1);
  await nameDisk(host!, loop!);
  await run('systemctl', 'restart', 'holdfastd.service');
  match(await run('findmnt', '-no', 'FSTYPE', '/var/lib/holdfast'), /xfs/);
  await run('holdfast', 'set', 'list');
});

test('as it came: all that was set is gone, and the store is there', { skip }, async () => {
  const { run } = host!;
  match(await refused('host', 'factory-reset', '--confirm', 'yes'), /to confirm: box9/);
  const out = await run('holdfast', 'host', 'factory-reset', '--confirm', 'box9');
  ok(!/Not done/.test(out), out);
  equal((await run('hostname')).trim(), 'holdfast');
  match(await run('passwd', '--status', 'admin'), /^admin L /);
  match(await run('cat', '/etc/systemd/network/10-holdfast-v0.network'), /DHCP=yes/);
  if (loop !== undefined) await run('test', '-e', '/var/lib/holdfast/store/holdfast-store.json');
});

test('in an emergency everything wired asks for an address, also without the service', {
  skip,
}, async () => {
  const { run } = host!;
  await run('systemctl', 'stop', 'holdfastd.socket', 'holdfastd.service');
  match(await network('reset'), /DHCP is on for: v0, v0p, v1, v1p/);
  deepEqual(await addresses('v0'), []);
  match(await run('cat', '/etc/systemd/network/10-holdfast-v0.network'), /DHCP=yes/);
  await run('systemctl', 'start', 'holdfastd.socket');
});

test('its units are as closed as they promise', { skip }, async () => {
  const { run } = host!;
  for (const [unit, limit] of [
    ['holdfast-hostd.service', 50],
    ['holdfast-network-revert.service', 80],
    ['holdfast-network-boot.service', 80],
  ] as const) {
    await run('cp', `/usr/lib/systemd/system/${unit}`, `/root/${unit}`);
    const analyze = ['systemd-analyze', 'security', '--no-pager', '--offline=true'] as const;
    match(await run(...analyze, `--threshold=${limit}`, `/root/${unit}`), /Overall exposure/);
  }
});

scriptSandbox(test, { skip, host });

test('the machine goes off when it is told why', { skip }, async () => {
  match(await refused('host', 'poweroff'), /--reason is missing/);
  await host!.run('holdfast', 'host', 'poweroff', '--reason', 'tests are over');
  await host![Symbol.asyncDispose]();
  match(host!.console(), /tests are over/);
});
